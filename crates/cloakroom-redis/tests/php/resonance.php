<?php
// Resonance: igbinary_serialize() of the array (serialize() where there is no such extension: IGBINARY), no expiry, no lock.
const KEY = 'dm:.session';

function is_id(string $id): bool
{
    return $id !== '';
}

function new_id(): string
{
    return bin2hex(random_bytes(128));
}

function fetch(string $id): array
{
    $stored = redis()->get(KEY . $id);
    if ($stored === false) {
        return [];
    }
    $data = IGBINARY ? igbinary_unserialize($stored) : unserialize($stored);
    if (!is_array($data)) {
        throw new RuntimeException('the session cannot be read');
    }
    return $data;
}

function store(string $id, array $data): void
{
    redis()->set(KEY . $id, IGBINARY ? igbinary_serialize($data) : serialize($data));
}

function drop(string $id): void
{
    redis()->del(KEY . $id);
}

function lock(string $id): void
{
}

function unlock(string $id): void
{
}
