"""The page that shows the service to people."""
from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from aiohttp import web


@cache
def _page() -> tuple[str, str]:
    """(document, what it may do: its own script and style, and requests to where it came from)."""
    text = Path(__file__).with_name("page.html").read_text()

    def hashed(tag: str) -> str:
        found = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert found is not None
        return f"'sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"
    return text, (f"default-src 'none'; script-src {hashed('script')}; style-src {hashed('style')}; "
                  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


async def show(request: web.Request) -> web.StreamResponse:
    """The page. It needs nothing else than this service."""
    text, policy = _page()
    return web.Response(text=text, content_type="text/html", headers={
        "Content-Security-Policy": policy, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff"})

