<?php
// Wrote compressed.jsonl: what phpredis 6 stores of sessions under redis.session.compression, beside what PHP compressed.
//
//     php compressed.php PORT > compressed.jsonl      # phpredis 6 or later; a Redis server on that port, which is emptied
//
// A long text is told by how many numbers it has: from 0 to 999 again and again, with commas between them.

[, $port] = $argv;
ob_start(); // A session's settings cannot be changed once something was told.
$redis = new Redis();
$redis->connect('127.0.0.1', (int) $port);
ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "tcp://127.0.0.1:$port");
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');

$item = fn (int $n) => ['sku' => "A$n", 'qty' => $n % 3, 'price' => 9.5 + $n, 'name' => "Item number $n, as it is in the catalogue"];
mt_srand(7);
$noise = '';
for ($n = 0; $n < 300; $n++) {
    $noise .= chr(mt_rand(0, 255));
}
$sessions = [
    'nothing' => [],
    'counter' => ['n' => 1],
    'one letter' => ['text' => str_repeat('a', 300)],
    'basket' => ['user_id' => 7, 'basket' => array_map($item, range(1, 12))],
    'noise' => ['noise' => $noise],
];
$numbers = 45000;
$long = ['text' => implode(',', array_map(fn (int $n) => $n % 1000, range(0, $numbers - 1)))];

foreach (['lzf', 'lz4', 'zstd'] as $compression) {
    // The level by default, and the ends of what there is.
    foreach ($compression === 'lzf' ? [3] : [0, 1, 3, 22] as $level) {
        foreach (['php', 'igbinary'] as $handler) {
            foreach ($sessions + ['long' => $long] as $name => $variables) {
                if ($level !== 3 && ($name === 'long' || $handler !== 'php')) {
                    continue;
                }
                ini_set('redis.session.compression', $compression);
                ini_set('redis.session.compression_level', (string) $level);
                ini_set('session.serialize_handler', $handler);
                $redis->flushAll();
                session_id(str_repeat('v', 32));
                session_start();
                $_SESSION = $variables;
                $plain = (string) session_encode();
                session_write_close();
                $stored = $redis->get('PHPREDIS_SESSION:' . str_repeat('v', 32));
                $vector = [
                    'name' => "$compression/$level/$handler/$name",
                    'compression' => $compression,
                    'handler' => $handler,
                ];
                $vector += $name === 'long' ? ['numbers' => $numbers] : ['plain' => bin2hex($plain)];
                echo json_encode($vector + ['hex' => bin2hex($stored)], JSON_UNESCAPED_SLASHES), "\n";
            }
        }
    }
}
