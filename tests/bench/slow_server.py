# SPDX-License-Identifier: Apache-2.0
"""A server that is far away: a proxy of the tests before it, which can delay every NFS call."""

import contextlib

import ganesha
import rpc_proxy


@contextlib.contextmanager
def proxy(address, server):
    ports = (ganesha.PORTMAP_PORT, ganesha.MOUNT_PORT, ganesha.NFS_PORT)
    host = rpc_proxy.ProxyHost(address, server.address, ports).start()
    try:
        yield host
    finally:
        host.stop()


@contextlib.contextmanager
def delayed(host, seconds):
    rule = host.rule(lambda call: call.name.startswith("NFS3 "), rpc_proxy.Delay(seconds))
    try:
        yield
    finally:
        rule.remove()
        host.remove_rules()
        host.clear()
