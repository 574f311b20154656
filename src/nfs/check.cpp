// SPDX-License-Identifier: Apache-2.0
#include "nfs/check.hpp"

#include "nfs/checkup.hpp"
#include "nfs/rpc/resolver.hpp"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

namespace uidnfs::nfs {
namespace {

using Result = CheckStep::Result;

std::string_view describe(rpc::PortOrigin origin) {
    switch (origin) {
        case rpc::PortOrigin::reserved: return "reserved";
        case rpc::PortOrigin::any: return "as noresvport asks";
        case rpc::PortOrigin::not_permitted:
            return "not reserved: that is not permitted here; exports with \"secure\" refuse it";
        case rpc::PortOrigin::exhausted:
            return "not reserved: all of them are taken; exports with \"secure\" refuse it";
    }
    return "";
}

bool is_reserved_as_asked(rpc::PortOrigin origin) {
    return origin == rpc::PortOrigin::reserved || origin == rpc::PortOrigin::any;
}

}  // namespace

void Checkup::tell(const char* name, Result result, std::string text) {
    report_({name, result, std::move(text)});
}

void Checkup::fail(const char* name, const core::Failure& failure) {
    weight_ = weight_of(failure);
    tell(name, Result::failed, failure.user_text);
}

rpc::TransportOptions Checkup::options_for(const rpc::Endpoint& server) const {
    rpc::TransportOptions options;
    options.server_name = target_.host;
    options.connection.server = server;
    options.connection.source = parameters_.source_port;
    options.connection.patience = {rpc::GiveUp::with_etimedout, patience(), 0};
    options.connection.persistence = rpc::ConnectionOptions::Persistence::once;
    return options;
}

core::Task<bool> Checkup::resolve() {
    for (const auto& text : parameters_.addresses) {
        boost::system::error_code error;
        const auto address = boost::asio::ip::make_address(text, error);
        if (!error) addresses_.push_back(address);
    }
    if (!addresses_.empty()) {
        tell("name", Result::ok, "not resolved, addr= is given");
        co_return true;
    }
    auto resolving =
        rpc::resolve(reactor_, target_.host, std::chrono::steady_clock::now() + patience());
    auto found = co_await resolving;
    if (!found) {
        fail("name", text_.unknown_host(target_.host, found.error()));
        co_return false;
    }
    addresses_ = std::move(*found);
    std::string list;
    for (const auto& address : addresses_) {
        list += fmt::format("{}{}", list.empty() ? "" : ", ", address.to_string());
    }
    tell("name", Result::ok, fmt::format("{} is {}", target_.host, list));
    co_return true;
}

/// All addresses, so that one of two that is dead shows.
core::Task<bool> Checkup::connect() {
    bool any = false;
    for (const auto& address : addresses_) {
        auto connecting = connect_to(address);
        any = co_await connecting || any;
    }
    co_return any;
}

core::Task<bool> Checkup::connect_to(rpc::Address address) {
    const rpc::Endpoint service(address, parameters_.port);
    v3::Client3::Deps deps;
    deps.transport = std::make_unique<rpc::Transport>(reactor_, options_for(service));
    v3::Client3 client(std::move(deps));
    const CallContext context{credential_};
    auto pinging = client.null(context);
    const auto pinged = co_await pinging;
    if (pinged) {
        const auto& connection = *client.transport().connections().front();
        const auto origin = connection.port_origin();
        tell(
            "connect",
            is_reserved_as_asked(origin) ? Result::ok : Result::notice,
            fmt::format(
                "{} answers NFS version 3, from port {} ({})",
                rpc::to_string(service),
                connection.local_port(),
                describe(origin)
            )
        );
        answering_.push_back(service);
    } else {
        fail("connect", text_.unanswered(Service::nfs, service, pinged.error()));
    }
    auto ending = client.shutdown(context);
    co_await ending;
    co_return pinged.has_value();
}

core::Task<bool> Checkup::run(CheckWrite write) {
    if (target_.export_path.size() > mount3::kMaxPathBytes) {
        fail("mount", text_.path_too_long());
        co_return false;
    }
    auto resolving = resolve();
    if (!co_await resolving) co_return false;
    auto connecting = connect();
    if (!co_await connecting) co_return false;
    // As a mount does: what does not serve one address may serve the next.
    for (const auto& service : answering_) {
        nfs_ = service;
        weight_ = Weight::server;
        auto using_it = use(write);
        if (co_await using_it) co_return true;
        if (weight_ == Weight::server) break;
    }
    co_return false;
}

core::Task<bool> Checkup::use(CheckWrite write) {
    auto mounting = mount();
    if (!co_await mounting) co_return false;
    auto looking = look(write);
    const bool works = co_await looking;
    co_return works;
}

core::Task<bool> check_export(
    core::Reactor& reactor,
    Target target,
    MountParameters parameters,
    mapper::CredentialRef credential,
    CheckWrite write,
    std::function<void(const CheckStep&)> report
) {
    Checkup checkup(
        reactor, std::move(target), std::move(parameters), std::move(credential), std::move(report)
    );
    auto running = checkup.run(write);
    const bool works = co_await running;
    co_return works;
}

}  // namespace uidnfs::nfs
