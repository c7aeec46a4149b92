// SPDX-License-Identifier: Apache-2.0
// The relay's pages, and where they are found.
import { Audit } from "./audit.js";
import { Building } from "./building.js";
import { Fleet } from "./fleet.js";
import { Login } from "./login.js";
import { Requests } from "./requests.js";
import { T } from "./texts.js";

export const site = {
    links: [["/buildings", T.nav.fleet], ["/requests", T.nav.requests], ["/audit", T.nav.audit]],
    pages: { "/buildings": Fleet, "/building/:serial/:tab": Building, "/building/:serial": Building,
        "/requests": Requests, "/audit": Audit },
    Login,
};
