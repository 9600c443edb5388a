//! nginx in front of both: who serves which routes.

use std::path::Path;

/// Who serves PHP's half of the routes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Php,
    Rust,
}

/// The routes that PHP has in the beginning: the goods, the way into the basket, login and logout.
const OF_PHP: &str = "^/(add|login|logout)?$";

/// Its configuration. Everything that it writes is in `folder`.
pub(crate) fn configuration(folder: &Path, port: u16, service: &str, half: Half) -> String {
    let folder = folder.display();
    // As root its workers would be nobody, who may not look into the folder.
    let user = if is_root() { "user root;\n" } else { "" };
    let php = match half {
        Half::Rust => String::new(),
        Half::Php => format!(
            "        location ~ {OF_PHP} {{
            fastcgi_pass unix:{folder}/php.sock;
            fastcgi_param SCRIPT_FILENAME {folder}/shop.php;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param SERVER_PROTOCOL $server_protocol;
            fastcgi_param REMOTE_ADDR $remote_addr;
            fastcgi_param HTTP_HOST $http_host;
        }}\n"
        ),
    };
    format!(
        "{user}daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        # Browsers open connections before they have anything to ask, and old workers stay for as long as such a one may be silent.
        client_header_timeout 5s;
        location = /shop.css {{ alias {folder}/shop.css; default_type text/css; }}
        location = /favicon.ico {{ return 204; }}
{php}        location / {{
            proxy_pass http://{service};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"
    )
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}
