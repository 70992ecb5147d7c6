"""A web server on the loopback, for the tests of downloads."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serve(content):
    """{path: bytes} -> address, faults to set {path: "half", "wrong" or "missing"}, the paths asked for."""
    fault, asked = {}, []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            whole, how = content[self.path], fault.get(self.path, "whole")
            if how == "missing":
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write({"whole": whole, "half": whole[: len(whole) // 2], "wrong": whole[::-1]}[how])

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", fault, asked
        httpd.shutdown()
