// SPDX-License-Identifier: Apache-2.0
// `uidnfsd --config FILE`: configuration and directory, alive; signals; the service manager. One
// reactor thread; listeners of plugins join it here.
#include "core/log.hpp"
#include "core/reactor.hpp"
#include "core/service_manager.hpp"
#include "plugins/daemon/commands.hpp"
#include "plugins/daemon/live.hpp"

#include <boost/asio/signal_set.hpp>
#include <fmt/format.h>
#include <signal.h>
#include <time.h>

#include <cstdint>

namespace uidnfs::plugins {
namespace {

namespace log = core::log;

/// For RELOADING=1, sd_notify(3).
std::uint64_t monotonic_microseconds() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

class Service {
public:
    Service(const Serve& command, const Environment& environment)
        : live_(command.config, environment), signals_(reactor_.io(), SIGHUP, SIGTERM, SIGINT) {}

    int run(core::Console& console) {
        ::signal(SIGPIPE, SIG_IGN);
        const auto report = live_.reload();
        if (report.step == Live::Step::kept) {
            for (const auto& problem : report.problems) console.complain(to_text(problem));
            console.complain(fmt::format(
                "uidnfsd: cannot start with {}; correct it, see uidnfsd --config FILE --check",
                log::printable(live_.path())
            ));
            return kExitFailed;
        }
        tell(report);
        log::info("started with {}", live_.path());
        wait_for_signal();
        core::notify_service_manager(ready());
        reactor_.run();
        log::info("stopped");
        return kExitDone;
    }

private:
    void wait_for_signal() {
        signals_.async_wait([this](const boost::system::error_code& error, int number) {
            if (error) return;
            if (number != SIGHUP) {
                core::notify_service_manager("STOPPING=1");
                reactor_.stop();
                return;
            }
            reload();
            wait_for_signal();
        });
    }

    void reload() {
        core::notify_service_manager(
            fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_microseconds())
        );
        const auto report = live_.reload();
        if (report.step == Live::Step::kept) {
            for (const auto& problem : report.problems) log::error("{}", to_text(problem));
            log::error(
                "{} was not taken over: {} problem(s); the configuration before it stays in force",
                live_.path(),
                report.problems.size()
            );
            core::notify_service_manager(
                "READY=1\nSTATUS=the configuration was not reloaded: it has problems"
            );
            return;
        }
        tell(report);
        for (const auto& change : report.changes) log::info("changed: {}", change);
        log::info("{} is in force", live_.path());
        core::notify_service_manager(ready());
    }

    static void tell(const Live::Report& report) {
        for (const auto& warning : report.warnings) log::warning("{}", warning);
    }

    std::string ready() const {
        const bool has_plugins = !unserved_plugins(*live_.settings()).empty();
        return fmt::format(
            "READY=1\nSTATUS={}",
            has_plugins ? "configuration loaded; plugins cannot be served yet"
                        : "configuration loaded; no plugin is configured"
        );
    }

    core::Reactor reactor_;
    Live live_;
    boost::asio::signal_set signals_;
};

}  // namespace

int run_service(const Serve& command, const Environment& environment, core::Console& console) {
    return Service(command, environment).run(console);
}

}  // namespace uidnfs::plugins
