// SPDX-License-Identifier: Apache-2.0
// The volume daemon without mounts, for the contract tests: real sockets, dialects, options, state
// files and state machines, with a mounter and a directory that do what names tell them to.
// Commands come on standard input, one a line, and are answered with one line:
//     mounts | detached | connections | kill NAME | status NAME JSON | levels | trouble WHY | drain
//     | quit
#include "plugins/cloudfoundry/cloudfoundry_plugin.hpp"
#include "plugins/cloudfoundry/spec_file.hpp"
#include "plugins/core/mount_preparer.hpp"
#include "plugins/core/volumes.hpp"
#include "plugins/docker/docker_plugin.hpp"
#include "plugins/http/server.hpp"
#include "plugins/observe/admin_routes.hpp"
#include "plugins/observe/connection_audit.hpp"
#include "plugins/observe/observers.hpp"
#include "tests/plugins/fake_inspector.hpp"
#include "tests/plugins/fake_mounter.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace uidnfs::plugins::testing {
namespace {

/// Knows jane with the password "secret word"; of "slowpoke" it hears nothing.
class FakeIdentities final : public Identities {
public:
    explicit FakeIdentities(core::Reactor& reactor) : reactor_(reactor) {}

    core::Task<core::Outcome<MountIdentity>> resolve(
        std::string user, core::Secret password, core::SteadyTime deadline, std::stop_token unwanted
    ) override {
        while (user == "slowpoke" && !unwanted.stop_requested() &&
               std::chrono::steady_clock::now() < deadline) {
            co_await reactor_.sleep_for(std::chrono::milliseconds(2));
        }
        // At its deadline it may be heard before the volume's own clock is.
        if (user == "slowpoke") {
            co_return core::Failure{ETIMEDOUT, "the identity was not resolved in time"};
        }
        if (user != "jane") co_return core::Failure{ENOENT, "User does not exist"};
        if (password.reveal() != "secret word") {
            co_return core::Failure{EACCES, "LDAP Result Code 49 \"Invalid Credentials\""};
        }
        co_return MountIdentity{1234, 1235, {50}, "ldap", user};
    }

private:
    core::Reactor& reactor_;
};

class Program {
public:
    explicit Program(std::map<std::string, std::string> arguments)
        : arguments_(std::move(arguments)) {}

    int run() {
        const auto restored = volumes_.restore();
        if (!restored) return fail(restored.error());
        health_.start();
        if (const int code = listen()) return code;
        std::thread([this] { read_commands(); }).detach();
        reactor_.run();
        return 0;
    }

private:
    std::string argument(const std::string& name) const {
        const auto found = arguments_.find(name);
        return found == arguments_.end() ? std::string() : found->second;
    }

    std::chrono::milliseconds milliseconds(const std::string& name, int otherwise) const {
        const auto text = argument(name);
        return std::chrono::milliseconds(text.empty() ? otherwise : std::atoi(text.c_str()));
    }

    static int fail(const core::Failure& failure) {
        std::cerr << failure.user_text << std::endl;
        return 1;
    }

    Volumes::Limits limits() const {
        Volumes::Limits limits;
        limits.mount = milliseconds("mount-ms", 1000);
        limits.other = milliseconds("other-ms", 5000);
        limits.times = {milliseconds("stop-ms", 200), std::chrono::seconds(30)};
        return limits;
    }

    http::ServerLimits server_limits() const {
        http::ServerLimits limits;
        limits.header = milliseconds("header-ms", 1000);
        limits.body = milliseconds("body-ms", 1000);
        return limits;
    }

    http::Server::Terms terms() const {
        http::Server::Terms terms;
        if (const auto most = argument("connections"); !most.empty()) {
            terms.connections = static_cast<std::size_t>(std::atoi(most.c_str()));
        }
        return terms;
    }

    static MountPreparer::RulesPtr make_rules() {
        auto rules = std::make_shared<OptionRules>();
        rules->identity = OptionRules::Identity::either;
        return rules;
    }

    int listen() {
        auto inherited = http::take_inherited_listeners();
        if (!inherited) return fail(inherited.error());
        for (auto& listener : *inherited) server_.serve(std::move(listener), docker_, terms());
        if (const auto path = argument("docker"); !path.empty()) {
            auto listener = http::listen_unix(path);
            if (!listener) return fail(listener.error());
            server_.serve(std::move(*listener), docker_, terms());
        }
        if (const int code = listen_for_admin()) return code;
        std::string address = "-";
        if (const auto where = argument("cloudfoundry"); !where.empty()) {
            if (const int code = listen_cloudfoundry(where, address)) return code;
        }
        std::cout << "ready " << address << std::endl;
        return 0;
    }

    int listen_for_admin() {
        if (const auto path = argument("admin"); !path.empty()) {
            auto listener = http::listen_unix(path);
            if (!listener) return fail(listener.error());
            auto root_only = terms();
            root_only.peers = http::Server::root_only();
            server_.serve(std::move(*listener), admin_routes_, std::move(root_only));
        }
        if (const auto path = argument("metrics"); !path.empty()) {
            auto listener = http::listen_unix(path);
            if (!listener) return fail(listener.error());
            server_.serve(std::move(*listener), metrics_routes_, terms());
        }
        return 0;
    }

    std::unique_ptr<AuditSink> make_sink() const {
        const auto path = argument("audit");
        if (path.empty()) return make_journal_sink("/nowhere");
        auto sink = open_audit_file(path);
        if (!sink) std::exit(fail(sink.error()));
        return std::move(*sink);
    }

    core::Outcome<std::string> healthy() const {
        if (trouble_.empty()) return std::string();
        return core::Failure{EIO, trouble_};
    }

    ReloadReport reload(std::string_view peer) {
        ReloadReport report;
        if (trouble_.empty()) {
            report.changes = {"policy.mode: enforce -> report"};
        } else {
            report.problems = {trouble_};
        }
        record_reload(audit_, report, peer);
        return report;
    }

    int listen_cloudfoundry(const std::string& where, std::string& address) {
        cloudfoundry::Endpoint endpoint;
        endpoint.listen = where;
        endpoint.drivers_path = argument("drivers");
        endpoint.ca_file = argument("ca");
        endpoint.cert_file = argument("cert");
        endpoint.key_file = argument("key");
        endpoint.client_cert_file = argument("client-cert");
        endpoint.client_key_file = argument("client-key");
        if (argument("insecure") == "true") {
            endpoint.insecure = cloudfoundry::Endpoint::Insecure::accepted;
        }
        if (const auto fine = cloudfoundry::check_endpoint(endpoint); !fine) {
            return fail(fine.error());
        }
        auto with = terms();
        if (endpoint.has_tls()) {
            auto made =
                http::make_tls_context({endpoint.ca_file, endpoint.cert_file, endpoint.key_file});
            if (!made) return fail(made.error());
            with.tls = *made;
        }
        auto listener = http::listen_tcp(endpoint.listen);
        if (!listener) return fail(listener.error());
        address = listener->name;
        server_.serve(std::move(*listener), cloudfoundry_, std::move(with));
        auto written = cloudfoundry::SpecFile::write(endpoint, address);
        if (!written) return fail(written.error());
        spec_file_.emplace(std::move(*written));
        return 0;
    }

    void read_commands() {
        std::string line;
        while (std::getline(std::cin, line)) reactor_.post([this, line] { obey(line); });
        reactor_.post([] { std::quick_exit(0); });  // the test is gone
    }

    static std::string names(const std::map<VolumeKey, Worker>& workers) {
        std::string out;
        for (const auto& [key, worker] : workers) out += (out.empty() ? "" : " ") + key.name;
        return out;
    }

    void obey(const std::string& line) {
        if (line == "mounts") {
            std::cout << names(mounter_.mounts) << std::endl;
        } else if (line == "detached") {
            std::cout << names(mounter_.detached) << std::endl;
        } else if (line == "connections") {
            std::cout << server_.connections() << std::endl;
        } else if (line.starts_with("kill ")) {
            for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
                const VolumeKey key{dialect, line.substr(5)};
                if (!mounter_.mounts.contains(key) && !mounter_.detached.contains(key)) continue;
                volumes_.worker_ended(key, mounter_.kill(key).id, {"killed by signal 9", {}});
            }
            std::cout << "killed" << std::endl;
        } else if (line.starts_with("status ")) {
            const auto space = line.find(' ', 7);
            inspector_.answers[line.substr(7, space - 7)] = line.substr(space + 1);
            std::cout << "set" << std::endl;
        } else if (line == "levels") {
            for (const auto& [name, level] : inspector_.levels) std::cout << name << "=" << level;
            std::cout << std::endl;
        } else if (line.starts_with("trouble")) {
            trouble_ = line.substr(std::min(line.size(), std::size_t{8}));
            std::cout << "set" << std::endl;
        } else if (line == "drain") {
            if (spec_file_) spec_file_->remove();
            const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
            volumes_.drain(deadline, [](const std::vector<std::string>& left) {
                std::cout << "drained " << left.size() << std::endl;
            });
        } else if (line == "quit") {
            std::cout << "bye" << std::endl;
            reactor_.stop();
        }
    }

    std::map<std::string, std::string> arguments_;
    core::Reactor reactor_;
    PosixFileSystem files_;
    Store store_{files_, {argument("root") + "/state", argument("root") + "/run"}};
    FakeMounter mounter_{reactor_};
    FakeIdentities identities_{reactor_};
    FakeInspector inspector_{reactor_};
    AuditLog audit_{make_sink(), {}};
    ConnectionAudit connections_{audit_};
    Metrics metrics_{{[this] { return read_gauges(volumes_, health_, audit_, store_, nullptr); }}};
    HealthWatch health_{
        {reactor_,
         inspector_,
         [this] { return mounted_volumes(volumes_); },
         [this](const VolumeKey& volume, const WorkerId& worker) {
             return stays(volumes_, volume, worker);
         },
         {&audit_, &connections_, &metrics_},
         [this](const WorkerId& keeper) { return connections_.written(keeper); }},
        {}};
    Observers observer_{{&connections_, &audit_, &metrics_, &health_}};
    MountPreparer preparer_{{make_rules, identities_, argument("root") + "/credentials"}};
    Volumes volumes_{{reactor_, store_, mounter_, preparer_, observer_}, limits()};
    docker::DockerPlugin docker_{{volumes_, preparer_}};
    cloudfoundry::CloudFoundryPlugin cloudfoundry_{{volumes_, preparer_}};
    std::string trouble_;
    MetricsRoutes metrics_routes_{{metrics_, [this] { return healthy(); }}};
    AdminRoutes admin_routes_{
        {metrics_routes_, volumes_, health_, inspector_, audit_, [this](std::string_view peer) {
             return reload(peer);
         }}};
    http::Server server_{reactor_, server_limits()};
    std::optional<cloudfoundry::SpecFile> spec_file_;
};

}  // namespace
}  // namespace uidnfs::plugins::testing

int main(int argc, char** argv) {
    std::map<std::string, std::string> arguments;
    for (int i = 1; i + 1 < argc; i += 2) arguments[std::string(argv[i]).substr(2)] = argv[i + 1];
    uidnfs::plugins::testing::Program program(std::move(arguments));
    return program.run();
}
