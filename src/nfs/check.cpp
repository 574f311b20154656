// SPDX-License-Identifier: Apache-2.0
#include "nfs/check.hpp"

#include "nfs/mount3.hpp"
#include "nfs/mount_text.hpp"
#include "nfs/portmap.hpp"
#include "nfs/rpc/resolver.hpp"
#include "nfs/rpc/transport.hpp"
#include "nfs/v3/client.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace uidnfs::nfs {
namespace {

using namespace std::chrono_literals;
using Result = CheckStep::Result;

/// Nobody else has this name.
std::string name_of_test_file() {
    std::uint64_t value = 0;
    if (::getrandom(&value, sizeof value, 0) != sizeof value) {
        value =
            static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    }
    return fmt::format(".uidnfs-check-{:016x}", value);
}

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

/// One check_export(): lives in that coroutine's frame.
class Checkup {
public:
    Checkup(
        core::Reactor& reactor,
        Target target,
        MountParameters parameters,
        mapper::CredentialRef credential,
        std::function<void(const CheckStep&)> report
    )
        : reactor_(reactor),
          target_(std::move(target)),
          parameters_(std::move(parameters)),
          credential_(std::move(credential)),
          text_(target_, MountText::Form::why),
          report_(std::move(report)) {}

    core::Task<bool> run(CheckWrite write);

private:
    core::Task<bool> resolve();
    core::Task<bool> connect();
    core::Task<bool> connect_to(rpc::Address address);
    core::Task<std::uint16_t> ask_portmapper(Service service, std::uint32_t program);
    /// All of the rest over one address, nfs_.
    core::Task<bool> use(CheckWrite write);
    core::Task<bool> mount();
    core::Task<bool> ask_for_export(rpc::Address host);
    core::Task<bool> look(CheckWrite write);
    core::Task<bool> ask_root(v3::Client3& client);
    core::Task<bool> make_file(v3::Client3& client);

    void tell(const char* name, Result result, std::string text);
    void fail(const char* name, const core::Failure& failure);
    rpc::TransportOptions options_for(const rpc::Endpoint& server) const;
    core::SteadyDuration patience() const {
        return std::max(parameters_.timeo, 1u) * 100ms * (parameters_.retrans + 1);
    }

    core::Reactor& reactor_;
    Target target_;
    MountParameters parameters_;
    mapper::CredentialRef credential_;
    MountText text_;
    std::function<void(const CheckStep&)> report_;
    std::vector<rpc::Address> addresses_;
    std::vector<rpc::Endpoint> answering_;
    rpc::Endpoint nfs_;               ///< the one of them that is looked at
    Weight weight_ = Weight::server;  ///< of what failed last
    rpc::Endpoint mount_service_;
    mount3::Export export_;
};

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

core::Task<bool> Checkup::ask_root(v3::Client3& client) {
    const CallContext context{credential_};
    auto asking = client.fsinfo(context, client.root());
    const auto info = co_await asking;
    if (!info) {
        fail("fsinfo", text_.unanswered(Service::nfs, nfs_, info.error()));
        co_return false;
    }
    client.set_fs_info(*info);
    tell(
        "fsinfo",
        Result::ok,
        fmt::format(
            "reads of {} KiB, writes of {} KiB, files up to {} bytes, times to {} ns",
            info->read_max / 1024,
            info->write_max / 1024,
            info->max_file_size,
            info->time_delta.seconds * 1'000'000'000 + info->time_delta.nanoseconds
        )
    );
    auto opening = client.open(context, client.root(), kAccessAll);
    const auto root = co_await opening;
    if (!root) {
        fail("access", text_.unanswered(Service::nfs, nfs_, root.error()));
        co_return false;
    }
    if (root->attr.type != FileType::directory) {
        fail("access", text_.root_not_directory());
        co_return false;
    }
    const bool is_readable = root->granted & (kAccessRead | kAccessLookup);
    if (!is_readable && parameters_.root_access == MountParameters::RootAccess::needed) {
        fail("access", text_.root_not_readable(*credential_, root->attr));
        co_return false;
    }
    const bool all = (root->granted & kAccessModify) && (root->granted & kAccessExtend);
    tell(
        "access",
        all ? Result::ok : Result::notice,
        fmt::format(
            "{} may {} in the root (mode {:04o}, owner {}:{})",
            credential_->describe(),
            describe_access(root->granted),
            root->attr.mode,
            root->attr.uid.value(),
            root->attr.gid.value()
        )
    );
    co_return true;
}

core::Task<bool> Checkup::make_file(v3::Client3& client) {
    const CallContext context{credential_};
    const auto name = name_of_test_file();
    SetAttr attributes;
    attributes.mode = 0600;
    const Verifier verifier{};
    auto creating =
        client.create(context, client.root(), name, CreateHow::guarded, attributes, verifier);
    auto made = co_await creating;
    if (!made) {
        tell(
            "write",
            Result::failed,
            fmt::format(
                "{} cannot create a file in the root ({}); grant write access on the server, or "
                "check a directory below it",
                credential_->describe(),
                core::to_string(made.error())
            )
        );
        co_return false;
    }
    auto attr = made->attr;
    if (!attr) {
        auto looking = client.lookup(context, client.root(), name);
        const auto looked = co_await looking;
        if (looked) attr = looked->attr;
    }
    bool works = true;
    if (attr) {
        report_(judge_owner(*credential_, *attr));
    } else {
        tell("write", Result::notice, "a file was made, and the server does not say whose it is");
    }
    auto removing = client.remove(context, client.root(), name);
    const auto removed = co_await removing;
    if (!removed) {
        tell(
            "write",
            Result::failed,
            fmt::format(
                "the file {} could not be removed again ({}); remove it on the server",
                name,
                core::to_string(removed.error())
            )
        );
        works = false;
    }
    co_return works;
}

core::Task<bool> Checkup::look(CheckWrite write) {
    v3::Client3::Deps deps;
    deps.transport = std::make_unique<rpc::Transport>(reactor_, options_for(nfs_));
    deps.root = export_.root;
    deps.sizes = {parameters_.rsize, parameters_.wsize};
    deps.notice = {target_.host, mount_service_, export_.path, parameters_.source_port};
    v3::Client3 client(std::move(deps));
    auto asking = ask_root(client);
    bool works = co_await asking;
    if (works && write == CheckWrite::yes) {
        auto making = make_file(client);
        works = co_await making;
    }
    const CallContext context{credential_};
    auto leaving = client.shutdown(context);
    co_await leaving;
    co_return works;
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

}  // namespace

std::string describe_access(AccessBits granted) {
    constexpr std::array<std::pair<AccessBits, std::string_view>, 6> kWords{{
        {kAccessRead, "list"},
        {kAccessLookup, "look up"},
        {kAccessModify, "change"},
        {kAccessExtend, "create"},
        {kAccessDelete, "delete"},
        {kAccessExecute, "execute"},
    }};
    std::string out;
    for (const auto& [bit, word] : kWords) {
        if (granted & bit) out += fmt::format("{}{}", out.empty() ? "" : ", ", word);
    }
    return out.empty() ? "nothing" : out;
}

CheckStep judge_owner(const mapper::Credential& credential, const Attr& made) {
    CheckStep step{"write", Result::ok, {}};
    const bool is_own_uid = made.uid == credential.uid();
    const bool is_own_gid = made.gid == credential.gid();
    step.text = fmt::format(
        "a file made as {} belongs to {}:{}",
        credential.describe(),
        made.uid.value(),
        made.gid.value()
    );
    if (!is_own_uid) {
        step.result = Result::notice;
        step.text +=
            ": the server puts another user in its place (all_squash and anonuid= of the export)";
    } else if (!is_own_gid) {
        step.result = Result::notice;
        step.text += ": the group comes from the directory (setgid) or from anongid= of the export";
    }
    return step;
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
