// SPDX-License-Identifier: Apache-2.0
// What Checkup asks of the portmapper and of MOUNT: where the export is, and who may have it.
#include "nfs/checkup.hpp"
#include "nfs/portmap.hpp"
#include "nfs/rpc/resolver.hpp"

#include <fmt/format.h>

namespace uidnfs::nfs {

using Result = CheckStep::Result;

/// 0: a step has failed.
core::Task<std::uint16_t> Checkup::ask_portmapper(Service service, std::uint32_t program) {
    const rpc::Endpoint portmapper(mount_service_.address(), portmap::kPort);
    rpc::Transport transport(reactor_, options_for(portmapper));
    auto asking = portmap::get_port(transport, *credential_, program, 3);
    const auto port = co_await asking;
    if (!port) {
        fail("portmap", text_.unanswered(Service::portmapper, portmapper, port.error()));
        co_return 0;
    }
    if (*port == 0) {
        fail("portmap", text_.not_registered(service, portmapper));
        co_return 0;
    }
    tell(
        "portmap",
        Result::ok,
        fmt::format("{}: MOUNT version 3 is on port {}", rpc::to_string(portmapper), *port)
    );
    co_return *port;
}

core::Task<bool> Checkup::mount() {
    std::vector<rpc::Address> hosts{nfs_.address()};
    if (!parameters_.mount_host.empty()) {
        auto resolving = rpc::resolve(
            reactor_, parameters_.mount_host, std::chrono::steady_clock::now() + patience()
        );
        auto found = co_await resolving;
        if (!found) {
            fail("name", text_.unknown_host(parameters_.mount_host, found.error()));
            co_return false;
        }
        hosts = std::move(*found);
    }
    bool is_given = false;
    for (const auto& host : hosts) {
        auto asking = ask_for_export(host);
        is_given = co_await asking;
        if (is_given) break;
    }
    if (!is_given) co_return false;
    const auto flavours = mount3::describe_flavours(export_.flavours);
    if (!mount3::allows_sys(export_)) {
        fail("security", text_.wrong_security(flavours));
        co_return false;
    }
    if (mount3::ignores_identity(export_)) {
        tell(
            "security",
            Result::notice,
            "the export is sec=none: the server ignores uid= and gid=; allow sys on the server"
        );
        co_return true;
    }
    tell(
        "security",
        Result::ok,
        flavours.empty() ? "the server names no flavour; sys is tried"
                         : fmt::format("the export offers {}", flavours)
    );
    co_return true;
}

core::Task<bool> Checkup::ask_for_export(rpc::Address host) {
    mount_service_ = rpc::Endpoint(host, parameters_.mount_port);
    if (mount_service_.port() == 0) {
        auto asking = ask_portmapper(Service::mount, mount3::kProgram);
        const auto port = co_await asking;
        if (port == 0) co_return false;
        mount_service_.port(port);
    } else {
        tell(
            "portmap",
            Result::ok,
            fmt::format("not asked, mountport={} is given", parameters_.mount_port)
        );
    }
    rpc::Transport transport(reactor_, options_for(mount_service_));
    auto asking = mount3::mount(transport, *credential_, target_.export_path);
    auto answer = co_await asking;
    if (!answer) {
        fail("mount", text_.unanswered(Service::mount, mount_service_, answer.error()));
        co_return false;
    }
    export_ = std::move(*answer);
    tell(
        "mount",
        Result::ok,
        fmt::format(
            "{} gives {} to this host, with a file handle of {} bytes",
            rpc::to_string(mount_service_),
            export_.path,
            export_.root.bytes().size()
        )
    );
    co_return true;
}

}  // namespace uidnfs::nfs
