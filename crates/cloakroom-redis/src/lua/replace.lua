-- Replaces a session of which all is known: if it begins with the bytes that it did, with no lease among them, it is the
-- version that was read, and nobody holds it. Whoever asks has applied the rules already.
-- KEYS: the session. ARGV: those bytes, the new value; where it ends at another time than before also when, as an option of SET
-- and its number. To leave the key its expiry takes the server half as long as to give it one.
if redis.call('GETRANGE', KEYS[1], '0', '89') == ARGV[1] then
  if ARGV[3] then
    redis.call('SET', KEYS[1], ARGV[2], ARGV[3], ARGV[4])
  else
    redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
  end
  return 1
end
return redis.call('GET', KEYS[1])
