-- For scripts that look at entries which they were not told of.

-- A session's value up to its data. What is left of one has none, and is told whole.
local function head_of(key)
  local head = redis.call('GETRANGE', key, '0', '139')
  if #head < 140 then return head end
  if string.byte(head, 2) ~= 1 then return redis.call('GET', key) end
  local length = struct.unpack('>I2', head, 139)
  if length > 0 then head = head .. redis.call('GETRANGE', key, '140', 139 + length) end
  return head
end
