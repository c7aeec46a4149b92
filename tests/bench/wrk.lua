-- SPDX-License-Identifier: Apache-2.0
-- Makes wrk print its figures as one line of JSON. With TARGETS (a file of paths, one a line) in the
-- environment each request takes one of them at random.

local targets = os.getenv("TARGETS")
if targets then
    local requests = {}
    for path in io.lines(targets) do
        requests[#requests + 1] = "GET " .. path .. " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    end
    request = function()
        return requests[math.random(#requests)]
    end
end

done = function(summary, latency)
    local e = summary.errors
    print(string.format(
        '{"requests":%d,"us":%d,"failed":%d,"p50_us":%d,"p99_us":%d}',
        summary.requests, summary.duration,
        e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50), latency:percentile(99)))
end
