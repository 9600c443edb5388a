-- What is under some keys, at one moment.
-- KEYS: any. Answers with the server's time in milliseconds, and for each key its value behind a `+` (or nothing), and when
-- it expires in milliseconds (-1: never; -2: there is none).
local time = redis.call('TIME')
local answer = { string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)) }
for _, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  answer[#answer + 1] = value and ('+' .. value) or ''
  answer[#answer + 1] = string.format('%.0f', redis.call('PEXPIRETIME', key))
end
return answer
