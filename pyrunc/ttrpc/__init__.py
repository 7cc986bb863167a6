"""ttrpc, containerd's protocol between its daemon and its shims: frames, messages, a server and a client on one poll
loop. No asyncio and no protobuf package at run time: their imports would cost a shim 15 MiB."""
