-- Makes some changes if all that they were decided on is still so.
-- KEYS: any. ARGV: the number of checks; for each of the first keys `-` (there must be nothing), or `+` and the value that must
-- be there; then for each change what to do, the number of its key, a value, and when it expires in milliseconds:
-- `S` sets, `N` sets without an expiry, `X` changes the expiry, `D` deletes.
local at = 2
for n = 1, tonumber(ARGV[1]) do
  local value = redis.call('GET', KEYS[n])
  if (value and ('+' .. value) or '-') ~= ARGV[at] then
    return 'changed'
  end
  at = at + 1
end
while at < #ARGV do
  local what, key, value, expiry = ARGV[at], KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2], ARGV[at + 3]
  if what == 'S' then
    redis.call('SET', key, value, 'PXAT', expiry)
  elseif what == 'N' then
    redis.call('SET', key, value)
  elseif what == 'X' then
    redis.call('PEXPIREAT', key, expiry)
  else
    redis.call('DEL', key)
  end
  at = at + 4
end
return 'done'
