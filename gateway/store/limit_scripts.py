"""What runs inside Redis for `redis.py`: Lua, https://redis.io/docs/latest/develop/programmability/eval-intro/

A window is a hash: what was counted in each slot, by its number; and of the last time that anybody looked, the slot
`at`, what was `used` in the whole window, and the `latest` slot in use. So a window is walked through once for each of
its slots, not for each request. Requests at once are a sorted set: the name of each lease, and when it ends.

Numbers are whole and below 2^53, beyond which Lua's are not exact: microseconds of this era have 51 bits.
"""

from __future__ import annotations

TAKE = """
-- Decide on a request by all of its limits, and count it if they allow it.
-- KEYS: what is counted, one for each limit.
-- ARGV: now in microseconds ('' for the server's time), the lease's name, its length in microseconds, slots of a
-- window; then for each key its limit, what the request adds, and the length of a slot in microseconds (0: no window).
-- Returns whether it is counted, and now; then for each key what is used, the latest slot in use, and the slot in which
-- the request fits (0: now).
local function move(key, slot, slots, step)
  -- To another slot: forget those that have left the window. Returns what is used, and the latest slot in use.
  local fields = redis.call('HGETALL', key)
  local used, latest, ahead, gone = 0, 0, 0, {}
  for j = 1, #fields, 2 do
    local number, amount = tonumber(fields[j]), tonumber(fields[j + 1])
    if number and number < slot - slots then
      gone[#gone + 1] = fields[j]
    elseif number then
      used = used + amount
      if number > slot then -- the clock went back: it counts from now
        gone[#gone + 1] = fields[j]
        ahead = ahead + amount
        number = slot
      end
      if amount > 0 and number > latest then latest = number end
    end
  end
  for j = 1, #gone, 100 do redis.call('HDEL', key, unpack(gone, j, math.min(j + 99, #gone))) end
  if ahead > 0 then redis.call('HINCRBY', key, slot, ahead) end
  redis.call('HSET', key, 'at', slot, 'used', used, 'latest', latest)
  redis.call('PEXPIRE', key, math.ceil((slots + 2) * step / 1000))
  return used, latest
end
local function free(key, excess, slots)
  -- The slot in which so much less is used.
  local fields, amounts, numbers, fits = redis.call('HGETALL', key), {}, {}, 0
  for j = 1, #fields, 2 do
    local number = tonumber(fields[j])
    if number then
      amounts[number] = tonumber(fields[j + 1])
      numbers[#numbers + 1] = number
    end
  end
  table.sort(numbers)
  for _, number in ipairs(numbers) do
    if excess <= 0 then break end
    excess = excess - amounts[number]
    fits = number + 1 + slots
  end
  return fits
end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local slots = tonumber(ARGV[4])
local allowed = 1
local found = {}
for i, key in ipairs(KEYS) do
  local limit, adds, step = tonumber(ARGV[2 + 3 * i]), tonumber(ARGV[3 + 3 * i]), tonumber(ARGV[4 + 3 * i])
  local used, latest, fits = 0, 0, 0
  if step == 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    used = redis.call('ZCARD', key)
  else
    local slot = math.floor(now / step)
    local known = redis.call('HMGET', key, 'at', 'used', 'latest')
    used, latest = tonumber(known[2]) or 0, tonumber(known[3]) or 0
    if tonumber(known[1]) ~= slot then used, latest = move(key, slot, slots, step) end
    if used + adds > limit then fits = free(key, used + math.min(adds, limit) - limit, slots) end
  end
  if used + adds > limit then allowed = 0 end
  found[i] = {used, latest, fits, adds, step}
end
local answer = {allowed, now}
for i, key in ipairs(KEYS) do
  local used, latest, fits, adds, step = unpack(found[i])
  if allowed == 1 then
    if step == 0 then
      redis.call('ZADD', key, now + tonumber(ARGV[3]), ARGV[2])
      redis.call('PEXPIRE', key, math.ceil(tonumber(ARGV[3]) / 1000))
    elseif adds > 0 then
      local slot = math.floor(now / step)
      redis.call('HINCRBY', key, slot, adds)
      redis.call('HINCRBY', key, 'used', adds)
      if latest ~= slot then
        latest = slot
        redis.call('HSET', key, 'latest', slot)
      end
    end
    used = used + adds
  end
  answer[#answer + 1] = used
  answer[#answer + 1] = latest
  answer[#answer + 1] = fits
end
return answer
"""

SETTLE = """
-- Correct what was counted: tokens by what was used, requests that were none, leases by renewing or ending them.
-- KEYS: what is counted, one for each correction.
-- ARGV: now in microseconds ('' for the server's time), slots of a window; then for each key what is to be done:
-- 'add', the length of a slot, when it was counted, how much more; 'renew', the lease's name and its length; 'end' it.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local slots = tonumber(ARGV[2])
for i, key in ipairs(KEYS) do
  local act, first, second, third = ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1], ARGV[4 * i + 2]
  if act == 'end' then
    redis.call('ZREM', key, first)
  elseif act == 'renew' then
    redis.call('ZADD', key, now + tonumber(second), first)
    redis.call('PEXPIRE', key, math.ceil(tonumber(second) / 1000))
  else
    local step, more = tonumber(first), tonumber(third)
    local slot = math.floor(now / step)
    local taken = math.floor(tonumber(second) / step)
    local amount = tonumber(redis.call('HGET', key, taken))
    local at = taken
    if amount and taken >= slot - slots then
      more = math.max(more, -amount)
    else
      at, more = slot, math.max(more, 0)
    end
    if more ~= 0 then
      redis.call('HINCRBY', key, at, more)
      redis.call('HINCRBY', key, 'used', more)
      redis.call('PEXPIRE', key, math.ceil((slots + 2) * step / 1000))
      if at == slot then redis.call('HSET', key, 'latest', slot) end
    end
  end
end
return 0
"""
