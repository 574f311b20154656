// SPDX-License-Identifier: Apache-2.0
// `uidnfsd --config FILE`: begins as root, with what only root can have: the sockets and the
// mounter; goes on as the service user with the directory, the volumes and the platforms. One
// reactor thread. SIGTERM ends it and leaves the mounts alone; the next start finds them again.
#include "control/signals.hpp"
#include "core/log.hpp"
#include "core/reactor.hpp"
#include "core/service_manager.hpp"
#include "plugins/daemon/commands.hpp"
#include "plugins/daemon/house.hpp"
#include "plugins/daemon/live.hpp"
#include "plugins/daemon/platforms.hpp"
#include "plugins/daemon/roles.hpp"
#include "plugins/daemon/service_user.hpp"

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>

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

/// When the table of descriptors grows while there are threads, the kernel stops us until RCU has
/// gone round, tens of milliseconds in which nobody is answered. It grows once, before.
void make_room_for_descriptors() {
    constexpr int kHighest = 1023;  // all connections, and what volumes and directory need
    const int high = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, kHighest);
    if (high >= 0) ::close(high);
}

/// Half of what sd_watchdog_enabled(3) says; zero where nobody watches.
std::chrono::microseconds watchdog_period() {
    const char* text = std::getenv("WATCHDOG_USEC");
    std::uint64_t microseconds = 0;
    if (text) std::from_chars(text, text + std::strlen(text), microseconds);
    return std::chrono::microseconds(microseconds / 2);
}

class Service {
public:
    Service(const Serve& command, const Environment& environment)
        : environment_(environment),
          live_(command.config, environment),
          signals_(reactor_.io(), SIGHUP, SIGTERM, SIGINT),
          watchdog_(reactor_.io()) {}

    int run(core::Console& console) {
        control::ignore_signals();
        ::umask(022);  // what is made above the service user's directories lets it through
        make_room_for_descriptors();
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
        if (auto begun = begin(); !begun) {
            console.complain(
                fmt::format("uidnfsd: cannot start: {}", log::printable(begun.error().user_text))
            );
            return kExitFailed;
        }
        log::info("started with {}, version {}", live_.path(), UIDNFS_VERSION);
        wait_for_signal();
        feed_watchdog();
        core::notify_service_manager(ready());
        reactor_.run();
        log::info("stopped; volumes stay mounted");
        return exit_status_;
    }

private:
    core::Outcome<void> begin() {
        const auto& settings = *live_.settings();
        if (!settings.docker && !settings.cloudfoundry) return {};
        if (::geteuid() != 0) {
            return core::Failure{
                EPERM,
                "mounting needs root; start it as root, it goes on as workers.user by itself"};
        }
        const auto user = find_service_user(settings.workers.user);
        if (!user) return user.error();
        auto doors = open_doors(settings, *user);
        if (!doors) return doors.error();
        House::Hooks hooks{
            [this] {
                // The service manager starts us again, and the mounts are found again.
                exit_status_ = kExitFailed;
                reactor_.stop();
            },
            [this](std::string_view peer) { return reload(peer); }};
        auto ground = House::prepare(live_, environment_, *user);
        if (!ground) return ground.error();
        if (auto became = become(*user); !became) {
            return core::Failure{
                became.error().code(),
                fmt::format(
                    "cannot become {}: {}", user->name, std::strerror(became.error().code())
                )};
        }
        auto made = House::make(reactor_, live_, std::move(*ground), std::move(hooks));
        if (!made) return made.error();
        house_ = std::move(*made);
        live_.open_directory();
        return house_->open(*doors);
    }

    void wait_for_signal() {
        signals_.async_wait([this](const boost::system::error_code& error, int number) {
            if (error) return;
            if (number != SIGHUP) {
                core::notify_service_manager("STOPPING=1");
                if (house_) house_->close();
                reactor_.stop();
                return;
            }
            reload("SIGHUP");
            wait_for_signal();
        });
    }

    void feed_watchdog() {
        const auto period = watchdog_period();
        if (period.count() == 0) return;
        core::notify_service_manager("WATCHDOG=1");
        watchdog_.expires_after(period);
        watchdog_.async_wait([this](const boost::system::error_code& error) {
            if (!error) feed_watchdog();
        });
    }

    ReloadReport reload(std::string_view peer) {
        core::notify_service_manager(
            fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_microseconds())
        );
        const auto report = live_.reload();
        ReloadReport told{{}, report.warnings, report.changes};
        for (const auto& problem : report.problems) told.problems.push_back(to_text(problem));
        if (house_) record_reload(house_->audit(), told, peer);
        if (report.step == Live::Step::kept) {
            for (const auto& problem : told.problems) log::error("{}", problem);
            log::error(
                "{} was not taken over: {} problem(s); the configuration before it stays in force",
                live_.path(),
                report.problems.size()
            );
            core::notify_service_manager(
                "READY=1\nSTATUS=the configuration was not reloaded: it has problems"
            );
            return told;
        }
        tell(report);
        for (const auto& change : report.changes) log::info("changed: {}", change);
        if (house_) house_->reloaded();
        log::info("{} is in force", live_.path());
        core::notify_service_manager(ready());
        return told;
    }

    static void tell(const Live::Report& report) {
        for (const auto& warning : report.warnings) log::warning("{}", warning);
    }

    std::string ready() const {
        return fmt::format(
            "READY=1\nSTATUS={}", house_ ? "serving volumes" : "no plugin is configured"
        );
    }

    const Environment& environment_;
    core::Reactor reactor_;
    Live live_;
    boost::asio::signal_set signals_;
    boost::asio::steady_timer watchdog_;
    std::unique_ptr<House> house_;
    int exit_status_ = kExitDone;
};

}  // namespace

int run_service(const Serve& command, const Environment& environment, core::Console& console) {
    return Service(command, environment).run(console);
}

}  // namespace uidnfs::plugins
