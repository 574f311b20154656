// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/mounter_client.hpp"

#include "control/socket.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "plugins/policy/policy.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>

namespace uidnfs::plugins::mounter {
namespace {

using std::chrono::milliseconds;
namespace log = core::log;

constexpr std::chrono::seconds kShort{5};  // adopt, reload, detach
constexpr std::int64_t kMostAdopting = 64;

using core::now;

std::vector<std::string> lost_of(const Reply& reply) {
    const auto lost = core::lines_of(reply.lost.view());
    return {lost.begin(), lost.end()};
}

Ended ended_of(const Reply& reply) { return {std::string(reply.text.view()), lost_of(reply)}; }

core::Failure failure_of(const Reply& reply) {
    return {static_cast<int>(reply.error), std::string(reply.text.view())};
}

/// From the path of its control socket, MINOR.sock; 0 where there is none.
std::uint32_t minor_of(const Worker& worker) {
    const auto name = std::string_view(worker.control).substr(worker.control.rfind('/') + 1);
    std::uint32_t minor = 0;
    std::from_chars(name.data(), name.data() + name.size(), minor);
    return minor;
}

const core::Failure& gone_failure() {
    static const core::Failure failure{
        EPIPE, "the volume service is being restarted; try again in a moment"};
    return failure;
}

}  // namespace

MounterClient::MounterClient(core::Reactor& reactor, core::Fd mounter, std::string root)
    : reactor_(reactor),
      root_(std::move(root)),
      socket_(reactor.io(), mounter.release()),
      adopting_(reactor, kMostAdopting) {}

MounterClient::~MounterClient() = default;

void MounterClient::listen(Events events) {
    events_ = std::move(events);
    wait_readable();
}

MounterClient::RequestPtr MounterClient::make_request(
    Verb verb, const VolumeKey& volume, core::SteadyTime deadline
) {
    auto request = std::make_unique<Request>();
    request->verb = verb;
    request->directory.set(directory_name(volume));
    request->plugin = static_cast<std::uint32_t>(
        volume.dialect == Dialect::docker ? policy::Plugin::docker : policy::Plugin::cloudfoundry
    );
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - now()).count();
    request->milliseconds =
        static_cast<std::uint32_t>(std::clamp<milliseconds::rep>(left, 0, 86'400'000));
    return request;
}

MounterClient::RequestPtr MounterClient::make_request(
    Verb verb, const VolumeKey& volume, const Worker& worker, core::SteadyTime deadline
) {
    auto request = make_request(verb, volume, deadline);
    request->pid = worker.id.pid;
    request->start_time = worker.id.start_time;
    request->minor = minor_of(worker);
    return request;
}

core::Task<core::Outcome<Worker>> MounterClient::start(
    MountSpec spec, core::SteadyTime deadline, std::stop_token unwanted
) {
    auto request = make_request(Verb::start, spec.volume, deadline);
    request->from_ldap = spec.identity.from == "ldap" ? 1 : 0;
    request->reference.cut(spec.reference);
    std::string options;
    for (const auto& option : spec.options) {
        options += option.value ? option.name + "=" + *option.value : option.name;
        options += '\0';
    }
    if (!request->source.set(spec.source) || !request->options.set(options)) {
        co_return core::Failure{
            E2BIG, "the source or the options of this volume are too long; shorten them"};
    }
    auto calling = call(std::move(request), std::move(unwanted));
    const auto reply = co_await calling;
    if (!reply) co_return reply.error();
    co_return worker_of(spec.volume, *reply);
}

core::Task<core::Outcome<Ended>> MounterClient::stop(
    VolumeKey volume, Worker worker, core::SteadyTime deadline
) {
    auto calling = call(make_request(Verb::stop, volume, worker, deadline));
    const auto reply = co_await calling;
    if (!reply) co_return reply.error();
    forget(directory_name(volume), worker.id);
    if (events_.connections) events_.connections(volume, worker.id, reply->connections.view());
    co_return ended_of(*reply);
}

core::Task<core::Outcome<void>> MounterClient::detach(
    VolumeKey volume, Worker worker, core::SteadyTime
) {
    return carry_out(make_request(Verb::detach, volume, worker, now() + kShort));
}

core::Task<core::Outcome<Worker>> MounterClient::adopt(VolumeKey volume, LiveRecord record) {
    // After a start there are as many as there are mounts, and whoever wants to mount comes behind
    // them.
    auto turn = adopting_.acquire(1);
    co_await turn;
    auto calling = call(make_request(Verb::adopt, volume, record.worker, now() + kShort));
    const auto reply = co_await calling;
    adopting_.release(1);
    if (!reply) co_return reply.error();
    if (const auto text = reply->text.view(); !text.empty() && events_.keeper) {
        events_.keeper(volume, KeeperNews::lost, "its keeper process was killed meanwhile");
        events_.keeper(volume, KeeperNews::replaced, std::string(text));
    }
    co_return worker_of(volume, *reply);
}

core::Task<core::Outcome<std::string>> MounterClient::status(
    VolumeKey volume, Worker worker, std::uint64_t written, core::SteadyTime deadline
) {
    auto request = make_request(Verb::status, volume, worker, deadline);
    request->text.set(std::to_string(written));
    auto calling = call(std::move(request));
    const auto reply = co_await calling;
    if (!reply) co_return reply.error();
    co_return std::string(reply->text.view());
}

core::Task<core::Outcome<void>> MounterClient::set_log_level(
    VolumeKey volume, Worker worker, std::string level, core::SteadyTime deadline
) {
    auto request = make_request(Verb::log_level, volume, worker, deadline);
    request->text.cut(level);
    return carry_out(std::move(request));
}

core::Task<core::Outcome<std::vector<std::string>>> MounterClient::deny(
    VolumeKey volume, Worker worker, std::string reason, core::SteadyTime deadline
) {
    auto request = make_request(Verb::deny, volume, worker, deadline);
    request->text.cut(reason);
    auto calling = call(std::move(request));
    const auto reply = co_await calling;
    if (!reply) co_return reply.error();
    co_return lost_of(*reply);
}

core::Task<core::Outcome<void>> MounterClient::allow(
    VolumeKey volume, Worker worker, core::SteadyTime deadline
) {
    return carry_out(make_request(Verb::allow, volume, worker, deadline));
}

core::Task<core::Outcome<void>> MounterClient::reload() {
    auto request = std::make_unique<Request>();
    request->verb = Verb::reload;
    return carry_out(std::move(request));
}

core::Task<core::Outcome<void>> MounterClient::carry_out(RequestPtr request) {
    auto calling = call(std::move(request));
    const auto reply = co_await calling;
    if (!reply) co_return reply.error();
    co_return core::Outcome<void>();
}

Worker MounterClient::worker_of(const VolumeKey& volume, const Reply& reply) {
    const auto directory = directory_name(volume);
    const WorkerId keeper{reply.pid, reply.start_time};
    auto& known = known_[directory];
    known.volume = volume;
    known.workers.push_back(keeper);
    return Worker{
        keeper,
        mount_path(root_, directory),
        control::control_path(control::control_directories(0).front(), reply.minor),
        std::string(reply.rule.view())};
}

void MounterClient::forget(std::string_view directory, WorkerId worker) {
    const auto found = known_.find(directory);
    if (found == known_.end()) return;
    std::erase(found->second.workers, worker);
    if (found->second.workers.empty()) known_.erase(found);
}

namespace {

/// Until somebody resumes it.
struct Pause {
    std::coroutine_handle<>& waiter;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const noexcept { waiter = coroutine; }
    void await_resume() const noexcept {}
};

}  // namespace

core::Task<core::Outcome<Reply>> MounterClient::call(RequestPtr request, std::stop_token unwanted) {
    if (life_ == Life::gone) co_return gone_failure();
    Call call;
    const auto id = next_id_++;
    request->id = id;
    calls_[id] = &call;
    send(std::move(request));
    const auto cancel = [this, id] {
        auto word = std::make_unique<Request>();
        word->verb = Verb::cancel;
        word->id = id;
        send(std::move(word));
    };
    const std::stop_callback<std::function<void()>> on_unwanted(
        std::move(unwanted), std::function<void()>(cancel)
    );
    if (!call.reply && life_ == Life::serving) co_await Pause{call.waiter};
    calls_.erase(id);
    if (!call.reply) co_return gone_failure();
    if (call.reply->error != 0) co_return failure_of(*call.reply);
    co_return std::move(*call.reply);
}

void MounterClient::wait_readable() {
    socket_.async_wait(
        boost::asio::posix::stream_descriptor::wait_read,
        [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
            if (error || alive.expired()) return;
            read_all();
            if (life_ == Life::serving) wait_readable();
        }
    );
}

void MounterClient::read_all() {
    std::vector<std::byte> bytes(sizeof(Reply) + 1);
    for (;;) {
        const auto size = ::recv(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno == EAGAIN) return;
        if (size <= 0) return end();
        const auto reply = read_reply({bytes.data(), static_cast<std::size_t>(size)});
        if (!reply) {
            log::error("the mounter sent a record that is none");
            return end();
        }
        take(*reply);
    }
}

void MounterClient::take(const Reply& reply) {
    if (reply.kind == Kind::keeper_lost || reply.kind == Kind::keeper_replaced) {
        const auto news = reply.kind == Kind::keeper_lost ? KeeperNews::lost : KeeperNews::replaced;
        // Whoever waits for the answer before this one makes the mount known.
        reactor_.post([this,
                       news,
                       directory = std::string(reply.directory.view()),
                       text = std::string(reply.text.view()),
                       alive = std::weak_ptr(alive_)] {
            if (alive.expired() || !events_.keeper) return;
            const auto known = known_.find(directory);
            if (known != known_.end()) events_.keeper(known->second.volume, news, text);
        });
        return;
    }
    if (reply.kind == Kind::ended) {
        const auto known = known_.find(reply.directory.view());
        if (known == known_.end()) return;
        const auto volume = known->second.volume;
        const WorkerId keeper{reply.pid, reply.start_time};
        forget(reply.directory.view(), keeper);
        if (events_.connections) events_.connections(volume, keeper, reply.connections.view());
        if (events_.ended) events_.ended(volume, keeper, ended_of(reply));
        return;
    }
    const auto found = calls_.find(reply.id);
    if (found == calls_.end()) return;
    found->second->reply = reply;
    if (found->second->waiter) reactor_.schedule(std::exchange(found->second->waiter, {}));
}

void MounterClient::send(RequestPtr request) {
    if (life_ == Life::gone) return;
    queue_.push_back(std::move(request));
    if (writing_ == Writing::idle) write_all();
}

void MounterClient::write_all() {
    while (!queue_.empty()) {
        const auto sent = ::send(
            socket_.native_handle(),
            queue_.front().get(),
            sizeof(Request),
            MSG_NOSIGNAL | MSG_DONTWAIT
        );
        if (sent >= 0) {
            queue_.pop_front();
        } else if (errno == EAGAIN) {
            writing_ = Writing::waits;
            socket_.async_wait(
                boost::asio::posix::stream_descriptor::wait_write,
                [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
                    if (error || alive.expired()) return;
                    writing_ = Writing::idle;
                    write_all();
                }
            );
            return;
        } else if (errno != EINTR) {
            return;  // reading will find out that it is gone
        }
    }
}

void MounterClient::end() {
    if (life_ == Life::gone) return;
    life_ = Life::gone;
    log::error("the mounter process ended");
    for (auto& [id, call] : calls_) {
        if (call->waiter) reactor_.schedule(std::exchange(call->waiter, {}));
    }
    if (events_.gone) events_.gone();
}

}  // namespace uidnfs::plugins::mounter
