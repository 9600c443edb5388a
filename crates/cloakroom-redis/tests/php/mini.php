<?php
// What mini does with a session, step by step. Its cache, the class Cache, is defined before this.
function start()
{
    global $cache, $id, $fresh;
    $cache = new Cache();
    $id = $_COOKIE['PHPSESSID'] ?? '';
    $_SESSION = preg_match('/^[a-zA-Z0-9,-]{22,256}$/', $id) ? $cache->get('session.' . $id) : null;
    if ($_SESSION === null) {
        // session.use_strict_mode
        [$id, $_SESSION, $fresh] = [bin2hex(random_bytes(32)), [], true];
    }
}

function finish()
{
    global $cache, $id, $fresh;
    $cache->set('session.' . $id, $_SESSION, session_cache_expire() * 60);
    if ($fresh) {
        setcookie('PHPSESSID', $id, ['expires' => time() + session_cache_expire() * 60, 'path' => '/', 'httponly' => true, 'samesite' => 'Lax']);
    }
}

function change_id()
{
    global $cache, $id, $fresh;
    $cache->delete('session.' . $id);
    [$id, $fresh] = [bin2hex(random_bytes(32)), true];
}

function log_out()
{
    global $cache, $id;
    $cache->delete('session.' . $id);
    setcookie('PHPSESSID', '', ['expires' => 1, 'path' => '/']);
}
