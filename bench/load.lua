-- The requests that wrk sends: one workload on the stored codes of users, or of groups of 100 users.
-- Owner n has ten codes, n * 10 to n * 10 + 9. Arguments: the workload, "user" or "group", how many
-- codes of users are stored, a seed that no other run has, how many milliseconds each connection
-- waits before a request, on average, and "close" to open a new connection for each request.

local GROUP = "/api/v1/tenants/t%d/groups/g%d"
local CODES = "/services/outgoing_call_barring/codes/"
local LEVELS = {
  user = {path = GROUP .. "/users/u%d" .. CODES, users = 1},
  group = {path = GROUP .. CODES, users = 100},
}
local VERIFICATION = GROUP .. "/users/%s/services/outgoing_call_barring/verification/"
local ROLE = {["X-Role"] = "Group Admin"}
local JSON = {["X-Role"] = "Group Admin", ["Content-Type"] = "application/json"}
local PLATFORM = {["X-Role"] = "Call Platform", ["Content-Type"] = "application/json"}
-- Steps of this size reach every code once: as a prime, it divides no number of codes used here.
local STEP = 7919

local level, owners, seed
local sent = 0

local function path(owner)
  local user = owner * level.users  -- For a group, its first user, whose id the path ignores.
  return level.path:format(math.floor(user / 1000), math.floor(user / 100) % 10, user % 100)
end

local function verify(user, name, code)
  local path = VERIFICATION:format(math.floor(user / 1000), math.floor(user / 100) % 10, name)
  return wrk.format("POST", path, PLATFORM, ('{"code":"%s"}'):format(code))
end

-- One of the ten codes of one of so many users, who lie evenly among all users.
local function verify_right(users)
  local user = math.random(0, users - 1) * math.floor(owners / users)
  return verify(user, "u" .. user % 100, ("%08d"):format(user * 10 + math.random(0, 9)))
end

local function list(count)
  local items = {}
  for item = 1, count do
    items[item] = ('{"code":"@-%05d","description":"Desk %d"}'):format(item, item)
  end
  return '{"authCodes":[' .. table.concat(items, ",") .. "]}"
end

-- A code that no other request of any run creates: the seed and a counter, in seven characters.
local function fresh()
  return ("%02x%05x"):format(seed % 256, sent)
end

local function post_list(body)
  return function()
    return wrk.format("POST", path(math.random(0, owners - 1)), JSON, (body:gsub("@", fresh())))
  end
end

local workloads = {
  get = function()
    local code = math.random(0, owners * 10 - 1)
    return wrk.format("GET", path(math.floor(code / 10)) .. ("%08d/"):format(code), ROLE)
  end,
  list = function()
    return wrk.format("GET", path(math.random(0, owners - 1)), ROLE)
  end,
  post = function()
    local body = ('{"code":"%s","description":"Desk %d"}'):format(fresh(), sent)
    return wrk.format("POST", path(math.random(0, owners - 1)), JSON, body)
  end,
  -- The owner after the last one: the benchmark stores the long list for it.
  long = function()
    return wrk.format("GET", path(owners), ROLE)
  end,
  post100 = post_list(list(100)),
  post10000 = post_list(list(10000)),
  delete = function()
    local code = (seed * 100000 + sent) * STEP % (owners * 10)
    return wrk.format("DELETE", path(math.floor(code / 10)) .. ("%08d/"):format(code), ROLE)
  end,
}

function workloads.mix()
  return workloads[sent % 10 == 0 and "post" or "get"]()
end

function workloads.verify()
  return verify_right(1000)
end

function workloads.verifyone()
  return verify_right(1)
end

-- Each wrong code is another user's, so that none is locked out and each failure is stored.
function workloads.wrong()
  return verify(math.random(0, owners - 1), ("w%d-%d"):format(seed, sent), fresh())
end

function workloads.verifymix()
  return workloads[sent % 10 == 0 and "wrong" or "verify"]()
end

function init(args)
  level, seed = LEVELS[args[2]], tonumber(args[4])
  owners = math.floor(tonumber(args[3]) / 10 / level.users)
  math.randomseed(seed)
  if args[6] == "close" then
    for _, headers in ipairs({ROLE, JSON, PLATFORM}) do
      headers["Connection"] = "close"
    end
  end
  local pause = tonumber(args[5] or 0)
  if pause > 0 then
    -- Exponentially distributed, so that requests arrive like those of many independent users.
    function delay()
      return math.floor(-pause * math.log(1 - math.random()) + 0.5)
    end
  end
  local next_request = workloads[args[1]]
  function request()
    sent = sent + 1
    return next_request()
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(("\n{\"requests\":%d,\"seconds\":%f,\"p50\":%f,\"p99\":%f,\"status\":%d,\"socket\":%d}\n"):format(
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
