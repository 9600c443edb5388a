-- Ends somebody's turn, if it still is theirs.
-- KEYS: the turn. ARGV: whose.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], 0) end
return 1
