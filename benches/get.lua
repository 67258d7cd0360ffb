-- For wrk: draws a path from the file named by PATHS for each request, and prints its measurements in one line:
-- requests, seconds, 99th percentile in ms, failed requests.

local requests = {}

function init()
  for path in io.lines(os.getenv("PATHS")) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
end

function request()
  return requests[math.random(#requests)]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("measured %d %.6f %.3f %d\n", summary.requests, summary.duration / 1e6, latency:percentile(99) / 1e3, failed))
end
