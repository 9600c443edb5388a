-- Writes down which sessions a revocation ends, before it ends any; once only.
-- KEYS: the receipt, the plan. ARGV: time, receipt, plan, for how long both are kept.
-- Answers with nothing, or with the receipt that is there.
local now = clock(ARGV[1])
local there = redis.call('GET', KEYS[1])
if there then return answer('-', now, there) end
leave(KEYS[1], ARGV[2], ARGV[4])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return answer('+', now)
