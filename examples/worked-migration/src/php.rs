//! PHP's settings: those of the application, which the service reads as well, and those of its pool.

use std::path::Path;

use crate::nginx::is_root;

/// The application's `php.ini`. What docs/migrating-from-php.md says to change first is changed.
pub(crate) fn ini(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "session.save_handler = redis
session.save_path = \"unix://{folder}/redis.sock?prefix=shop:\"
session.serialize_handler = igbinary
session.name = SHOP
session.sid_length = 32
session.sid_bits_per_character = 5
session.use_strict_mode = 1
session.gc_maxlifetime = 1440
session.cookie_httponly = 1
session.cookie_samesite = Lax
redis.session.locking_enabled = 1
redis.session.lock_expire = 30
redis.session.lock_retries = 500
redis.session.lock_wait_time = 20000
log_errors = On
display_errors = Off
error_log = {folder}/php.log
"
    )
}

/// PHP-FPM's configuration.
pub(crate) fn pool(folder: &Path) -> String {
    let folder = folder.display();
    let user = if is_root() { "user = root\ngroup = root\n" } else { "" };
    format!(
        "[global]
error_log = {folder}/php-fpm.log
daemonize = no
process_control_timeout = 10s
[shop]
listen = {folder}/php.sock
pm = static
pm.max_children = 8
{user}"
    )
}

/// The service's `cloakroom.toml`.
pub(crate) fn service(folder: &Path) -> String {
    format!(
        "driver = \"redis\"

[connections.redis]
php_ini = [\"{}/php.ini\"]
user_variable = \"user_id\"
# How far the move to Cloakroom's own layout is: this, then \"move\", then \"done\".
moving = {{ env = \"STAGE\" }}

[proxies]
trusted = [\"127.0.0.1\"]
",
        folder.display()
    )
}
