# SPDX-License-Identifier: Apache-2.0
# What is installed beside the programs, and the three Debian packages that CPack makes of it
# (deploy/build-packages). Everything lives under the prefix; /etc and /var are made by sysusers.d,
# tmpfiles.d and `thinknx-relay init`.
include(GNUInstallDirs)

set(TNX_MAINTAINER "Thinknx relay maintainers <thinknx-relay@users.noreply.github.com>"
    CACHE STRING "Maintainer field of the packages")
string(TIMESTAMP TNX_PACKAGE_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC) # honours SOURCE_DATE_EPOCH
set(tnx_packaging ${CMAKE_BINARY_DIR}/packaging)

# tnx_gzip(RESULT FILE NAME) makes NAME.gz, the same for the same input, for documentation.
find_program(TNX_GZIP gzip REQUIRED)
function(tnx_gzip result file name)
    set(out ${tnx_packaging}/${name}.gz)
    get_filename_component(folder ${out} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    execute_process(COMMAND ${TNX_GZIP} -9nc ${file} OUTPUT_FILE ${out} COMMAND_ERROR_IS_FATAL ANY)
    set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    set(${result} ${out} PARENT_SCOPE)
endfunction()

# tnx_man(COMPONENT FILE...) installs manual pages.
function(tnx_man component)
    foreach(page ${ARGN})
        string(REGEX MATCH "[158]$" section ${page})
        set(TNX_PAGE_VERSION ${PROJECT_VERSION})
        configure_file(${CMAKE_SOURCE_DIR}/deploy/man/${page} ${tnx_packaging}/man/${page} @ONLY)
        tnx_gzip(packed ${tnx_packaging}/man/${page} man/${page})
        set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
            ${CMAKE_SOURCE_DIR}/deploy/man/${page})
        install(FILES ${packed} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section}
            COMPONENT ${component})
    endforeach()
endfunction()

# What every package has.
function(tnx_package component summary description)
    set(name thinknx-${component})
    set(docs ${CMAKE_INSTALL_DATADIR}/doc/${name})
    set(TNX_PACKAGE ${name})
    configure_file(${CMAKE_SOURCE_DIR}/deploy/package/changelog.in
        ${tnx_packaging}/${name}/changelog @ONLY)
    tnx_gzip(changelog ${tnx_packaging}/${name}/changelog ${name}/changelog)
    install(FILES ${changelog} DESTINATION ${docs} COMPONENT ${component})
    install(FILES ${CMAKE_SOURCE_DIR}/deploy/package/copyright DESTINATION ${docs}
        COMPONENT ${component})
    install(FILES ${CMAKE_SOURCE_DIR}/deploy/completion/${name}
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT ${component})
    string(TOUPPER ${component} upper)
    foreach(field PACKAGE_NAME FILE_NAME)
        set(CPACK_DEBIAN_${upper}_${field} ${name} PARENT_SCOPE)
    endforeach()
    set(CPACK_DEBIAN_${upper}_FILE_NAME DEB-DEFAULT PARENT_SCOPE)
    set(CPACK_COMPONENT_${upper}_DESCRIPTION "${summary}\n${description}" PARENT_SCOPE)
    if(EXISTS ${CMAKE_SOURCE_DIR}/deploy/package/${component}/postinst)
        set(scripts ${CMAKE_SOURCE_DIR}/deploy/package/${component})
        set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA
            "${scripts}/postinst;${scripts}/prerm;${scripts}/postrm" PARENT_SCOPE)
    endif()
endfunction()

# tnx_service(COMPONENT) installs unit, user and folders.
function(tnx_service component)
    set(source ${CMAKE_SOURCE_DIR}/deploy/systemd/thinknx-${component})
    install(FILES ${source}.service DESTINATION lib/systemd/system COMPONENT ${component})
    install(FILES ${source}.sysusers DESTINATION lib/sysusers.d RENAME thinknx-${component}.conf
        COMPONENT ${component})
    install(FILES ${source}.tmpfiles DESTINATION lib/tmpfiles.d RENAME thinknx-${component}.conf
        COMPONENT ${component})
endfunction()

# What makes users and folders: systemd itself where it runs, else two small packages.
set(tnx_service_depends
    "systemd-standalone-sysusers | systemd-sysusers, systemd-standalone-tmpfiles | systemd-tmpfiles")

if(TNX_RELAY)
    tnx_package(relay "relay that makes Thinknx servers reachable over HTTPS"
        "Callers reach a Thinknx building server's HTTP API through this relay, with a\nkey per building, over HTTPS. The agents beside the servers (package\nthinknx-agent) dial out to it; no port is opened in any building.")
    tnx_service(relay)
    tnx_man(relay thinknx-relay.8 thinknx-relay.conf.5)
    set(CPACK_DEBIAN_RELAY_PACKAGE_DEPENDS "${tnx_service_depends}")
    set(CPACK_DEBIAN_RELAY_PACKAGE_SUGGESTS "certbot, prometheus")
    set(examples ${CMAKE_INSTALL_DATADIR}/doc/thinknx-relay/examples)
    install(FILES deploy/examples/relay.conf deploy/examples/certbot-deploy-hook
        DESTINATION ${examples} COMPONENT relay)
    install(DIRECTORY deploy/monitoring DESTINATION ${examples} COMPONENT relay)
    install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/thinknx-relay/docs
        COMPONENT relay FILES_MATCHING PATTERN "*.md")
endif()

tnx_package(agent "agent that connects a Thinknx server to a thinknx-relay"
    "It runs beside a Thinknx building server, dials out to a relay and answers the\nrelay's requests with the server's answers. It keeps the server's credentials;\nonly the paths of the server's API can be reached through it.")
tnx_service(agent)
tnx_man(agent thinknx-agent.8 thinknx-agent.conf.5)
# libwebsockets loads its libuv support at run time, so no tool can see it.
set(CPACK_DEBIAN_AGENT_PACKAGE_DEPENDS
    "libwebsockets-evlib-uv, ca-certificates, ${tnx_service_depends}")
install(FILES deploy/examples/agent.conf
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/thinknx-agent/examples COMPONENT agent)

if(TNX_TESTS)
    tnx_package(simulator "simulated Thinknx server"
        "Behaves like a Thinknx building server: its HTTP API with a house of devices\nbehind it, for trying out and testing what calls such a server.")
    tnx_man(simulator thinknx-simulator.1)
    install(FILES tests/simulator/house.json
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/thinknx-simulator/examples COMPONENT simulator)
endif()

# Packing waits for no target: who packs has built the programs, and needs no tests for it.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME thinknx)
set(CPACK_PACKAGE_CONTACT "${TNX_MAINTAINER}")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION}${TNX_PACKAGE_SUFFIX})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
get_cmake_property(CPACK_COMPONENTS_ALL COMPONENTS)
list(REMOVE_ITEM CPACK_COMPONENTS_ALL Unspecified)
include(CPack)
