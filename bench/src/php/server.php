<?php
// Times PHP's own functions for the benchmark. A line of words is a request, a line the answer:
//   payload ITEMS          the session of a basket in this format, in hexadecimal digits
//   decode|encode ITEMS N  nanoseconds that N calls took
// `php` and `php_binary` have no functions of their own: there it is session_encode() and session_decode().
declare(strict_types=1);

final class Nowhere implements SessionHandlerInterface {
    public function open(string $path, string $name): bool { return true; }
    public function close(): bool { return true; }
    public function read(string $id): string|false { return ''; }
    public function write(string $id, string $data): bool { return true; }
    public function destroy(string $id): bool { return true; }
    public function gc(int $max): int|false { return 0; }
}

function basket(int $count): array {
    $goods = ['Ullgenser', 'Regnjakke', 'Fjellstøvler', 'Termos 1 l', 'Sovepose', 'Hodelykt', 'Kart 1:50 000', 'Primus'];
    $items = [];
    for ($n = 0; $n < $count; $n++) {
        $items[] = [
            'sku' => sprintf('SKU-%05d', $n * 7919 % 100000),
            'name' => $goods[$n % 8],
            'qty' => $n % 4 + 1,
            'price' => round(9.95 + 9.25 * $n, 2),
            'currency' => 'NOK',
            'options' => ['size' => ['S', 'M', 'L', 'XL'][$n % 4], 'colour' => ['rød', 'blå', 'grønn'][$n % 3]],
            'gift' => $n % 5 === 0,
            'added_at' => 1760000000 + 61 * $n,
        ];
    }
    return [
        '_token' => 'qTokenTokenTokenTokenTokenTokenTokenTok4',
        'user_id' => 1337,
        'login_at' => 1760000000,
        'locale' => 'nb_NO',
        'roles' => ['customer', 'newsletter'],
        'basket' => ['id' => 'b-77f1', 'items' => $items, 'coupon' => null, 'total' => 1234.5],
        'flash' => [],
    ];
}

session_set_save_handler(new Nowhere, false);
session_id('bench');
session_start(['use_cookies' => 0, 'use_only_cookies' => 0, 'cache_limiter' => '']);
$format = ini_get('session.serialize_handler');
[$encode, $decode] = match ($format) {
    'php_serialize' => ['serialize', 'unserialize'],
    'igbinary' => ['igbinary_serialize', 'igbinary_unserialize'],
    'msgpack' => ['msgpack_pack', 'msgpack_unpack'],
    default => [null, null],
};

while (($line = fgets(STDIN)) !== false) {
    [$what, $items, $times] = explode(' ', trim($line)) + [2 => '0'];
    $value = basket((int) $items);
    $_SESSION = $value;
    $stored = session_encode();
    // Fresh from the encoder, as they come from a server: strings that no other value shares.
    $payload = $encode === null ? $stored : $encode($value);
    $value = $decode === null ? $value : $decode($payload);
    $times = (int) $times;
    $begin = hrtime(true);
    if ($what === 'payload') {
        echo bin2hex($stored), "\n";
        continue;
    }
    if ($what === 'encode') {
        for ($n = 0; $n < $times; $n++) {
            $out = $encode === null ? session_encode() : $encode($value);
        }
    } else {
        for ($n = 0; $n < $times; $n++) {
            $out = $decode === null ? session_decode($payload) : $decode($payload);
        }
    }
    echo hrtime(true) - $begin, "\n";
}
