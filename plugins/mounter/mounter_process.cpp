// SPDX-License-Identifier: Apache-2.0
// The records of the front and what is done with live mounts; how a mount begins is in
// mounter_start.cpp.
#include "plugins/mounter/mounter_process.hpp"

#include "control/mountinfo.hpp"
#include "control/socket.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "plugins/mounter/wait.hpp"
#include "plugins/mounter/write_behind_share.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

namespace uidnfs::plugins::mounter {
namespace {

using std::chrono::milliseconds;
namespace log = core::log;

/// What the front must hear in time is said this much before its deadline.
constexpr milliseconds kMargin{200};
constexpr milliseconds kPoll{2};
constexpr milliseconds kLastWord{500};
/// More requests at one time are not read: a front that floods waits for itself.
constexpr std::size_t kMostCalls = 512;
constexpr milliseconds kSharePause{100};
constexpr milliseconds kShareTime{500};  // for one keeper
/// How long starts that nobody waits for any more may take to be undone.
constexpr milliseconds kLongestEnd{3000};
/// A mounter whose front ended still undoes what it had begun; the next one waits for it.
constexpr milliseconds kLongestLock{5000};
constexpr std::string_view kNumberTaken =
    "it was detached, and its keeper can be asked nothing any more: another mount has its device "
    "number; it ends by itself once everything is written";
constexpr std::string_view kProcessesGone =
    "its processes are gone (keeper and worker); the next mount of it is a new one";

using core::now;

core::SteadyTime deadline_of(const Request& request) {
    return now() + std::max(milliseconds(request.milliseconds) - kMargin, milliseconds(0));
}

/// REQUIRES: a verb that the keeper answers at once.
control::Message question_of(const Request& request) {
    const std::string text(request.text.view());
    switch (request.verb) {
        case Verb::log_level: return control::Message("log_level").add("level", text);
        case Verb::deny: return control::Message("deny").add("reason", text);
        case Verb::allow: return control::Message("allow");
        case Verb::start:
        case Verb::cancel:
        case Verb::stop:
        case Verb::detach:
        case Verb::adopt:
        case Verb::reload:
        case Verb::status: break;
    }
    control::Message question("status");
    question.add("told", text).add("attached", "unneeded");
    return question;
}

bool is_anothers(const core::Result<control::Message>& answer) {
    return !answer && answer.error().code() == ESRCH;
}

/// Only one mounter works below a directory; the lock ends with its process.
core::Outcome<void> lock_root(int root, const std::string& path) {
    const auto deadline = now() + kLongestLock;
    while (::flock(root, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return core::Failure{
                errno, fmt::format("mounts.root: {}: {}", path, core::describe_errno(errno))};
        }
        if (now() >= deadline) {
            return core::Failure{
                EBUSY,
                fmt::format(
                    "mounts.root: another uidnfsd uses {}; end it, or give each its own", path
                )};
        }
        std::this_thread::sleep_for(kPoll);
    }
    return {};
}

/// The directory and all above it belong to root, and nobody else can write to them: what a mount
/// is attached to cannot be exchanged. Only the sticky /tmp may be anybody's.
core::Outcome<void> check_ancestry(std::string path) {
    for (;;) {
        struct stat info {};
        if (::lstat(path.c_str(), &info) != 0) {
            return core::Failure{
                errno, fmt::format("mounts.root: {}: {}", path, core::describe_errno(errno))};
        }
        const bool is_open = (info.st_mode & 022) != 0 && (info.st_mode & S_ISVTX) == 0;
        if (!S_ISDIR(info.st_mode) || info.st_uid != 0 || is_open) {
            return core::Failure{
                EPERM,
                fmt::format(
                    "mounts.root: {} must be a directory of root that nobody else can write to; "
                    "chown root {}; chmod go-w {}",
                    path,
                    path,
                    path
                )};
        }
        if (path == "/") return {};
        const auto slash = path.rfind('/');
        path = slash == 0 ? "/" : path.substr(0, slash);
    }
}

}  // namespace

MounterProcess::MounterProcess(core::Fd front, Options options)
    : front_(std::move(front)), options_(std::move(options)) {}

core::Outcome<void> MounterProcess::prepare() {
    if (auto reloaded = options_.load(); reloaded) {
        allowed_ = std::move(*reloaded);
    } else {
        return reloaded.error();
    }
    auto& root = options_.root;
    while (root.size() > 1 && root.back() == '/') root.pop_back();
    for (std::size_t at = 1; at != std::string::npos; ++at) {
        at = root.find('/', at);
        const bool is_last = at == std::string::npos;
        ::mkdir(root.substr(0, at).c_str(), is_last ? 0700 : 0755);
        if (is_last) break;
    }
    if (auto fine = check_ancestry(root); !fine) return fine;
    root_ = core::Fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!root_ || ::fchmod(root_.get(), 0700) != 0) {
        return core::Failure{
            errno, fmt::format("mounts.root: {}: {}", root, core::describe_errno(errno))};
    }
    if (auto locked = lock_root(root_.get(), root); !locked) return locked;
    remove_left_over();
    groups_ = WorkerGroups::find();
    groups_.prepare();
    return {};
}

/// Mount points that a mounter which was killed had made.
void MounterProcess::remove_left_over() const {
    std::error_code error;
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator entry(options_.root, error), end;
         !error && entry != end;
         entry.increment(error)) {
        names.push_back(entry->path().filename().string());
    }
    const auto mounts = control::read_mountinfo();
    for (const auto& name : names) {
        const bool is_free = mounts && !control::find_by_path(*mounts, path_of(name));
        if (is_free && is_directory_name(name)) remove_directory(name);
    }
}

void MounterProcess::run() {
    core::spawn(serve());
    reactor_.run();
}

core::Task<> MounterProcess::serve() {
    auto reading = read_front();
    co_await reading;
    // What was begun for it is undone; what is mounted stays.
    for (auto& [directory, start] : starts_) start.stop.request_stop();
    const auto deadline = now() + kLongestEnd;
    while (!starts_.empty() && now() < deadline) {
        auto pause = reactor_.sleep_for(kPoll);
        co_await pause;
    }
    reactor_.stop();
}

/// Until the front ends, or says what is no request.
core::Task<> MounterProcess::read_front() {
    std::vector<std::byte> bytes(sizeof(Request) + 1);
    for (;;) {
        Ready ready(reactor_, front_.get(), core::SteadyTime::max());
        if (!co_await ready) {  // no descriptor is free
            auto pause = reactor_.sleep_for(kPoll);
            co_await pause;
        }
        for (;;) {
            while (calls_ >= kMostCalls) {
                auto pause = reactor_.sleep_for(kPoll);
                co_await pause;
            }
            const auto size = ::recv(front_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
            if (size < 0 && (errno == EAGAIN || errno == EINTR)) break;
            if (size <= 0) {
                log::debug("the front ended");
                co_return;
            }
            const auto request = read_request({bytes.data(), static_cast<std::size_t>(size)});
            if (!request) {
                log::error("the front sent a record that is none; it is not served any more");
                co_return;
            }
            take(*request);
        }
    }
}

void MounterProcess::take(const Request& request) {
    if (request.verb == Verb::cancel) {
        for (auto& [directory, start] : starts_) {
            if (start.id == request.id) start.stop.request_stop();
        }
        return;
    }
    ++calls_;
    core::spawn(answer(request));
}

core::Task<> MounterProcess::answer(Request request) {
    Reply reply;
    if (request.verb == Verb::reload) {
        reply = reload();
    } else if (!is_directory_name(request.directory.view())) {
        reply = failed(EINVAL, "no name of a directory");
    } else if (starts_.contains(std::string(request.directory.view()))) {
        // A front in order waits for the answer to the start.
        reply = failed(EBUSY, "a mount is being made there");
    } else if (request.verb == Verb::start) {
        const std::string directory(request.directory.view());
        std::stop_source stop;
        starts_.emplace(directory, Start{request.id, stop});
        auto task = start(request, stop.get_token());
        reply = co_await task;
        starts_.erase(directory);
        share_out_soon();
    } else if (request.verb == Verb::stop) {
        auto task = stop(request);
        reply = co_await task;
    } else if (request.verb == Verb::detach) {
        reply = detach(request);
    } else if (request.verb == Verb::adopt) {
        auto task = adopt(request);
        reply = co_await task;
    } else {
        auto task = ask(request, question_of(request));
        reply = co_await task;
    }
    reply.id = request.id;
    reply.directory.cut(request.directory.view());
    send(reply);
    --calls_;
}

core::Task<Reply> MounterProcess::stop(const Request& request) {
    const auto watched = find(request);
    if (!watched) co_return failed(ESRCH, kProcessesGone);
    const auto deadline = deadline_of(request);
    auto waiting = wait_for_keeper(watched, deadline);
    co_await waiting;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - now()).count();
    control::Message drain("drain");
    drain.add("milliseconds", static_cast<std::uint64_t>(std::max<milliseconds::rep>(left, 0)));
    auto draining = ask_keeper(*watched, std::move(drain), deadline);
    const auto drained = co_await draining;
    if (!watched->end && is_anothers(drained)) co_return failed(ESRCH, kNumberTaken);
    if (!watched->end && (!drained || drained->verb() != "ok")) {
        co_return failed(ETIMEDOUT, "the server did not take all bytes in time");
    }
    if (!watched->end) {
        watched->stop = Watched::Stop::running;
        const auto path = path_of(watched->directory);
        const int code = ::umount2(path.c_str(), UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
        const bool is_detached = code == EINVAL || code == ENOENT;  // and its directory removed
        if (code != 0 && !is_detached) {
            watched->stop = Watched::Stop::none;
            co_return failed(code, code == EBUSY ? "it is in use" : core::describe_errno(code));
        }
        // One that was detached before is used on, or its end is told already.
        const auto until = is_detached ? std::min(deadline, now() + kLastWord) : deadline;
        watched->held.reset();
        // Copies of the mount at this place in other mount namespaces go with the directory.
        remove_directory(watched->directory);
        // The keeper's last word; it has nothing to write any more.
        auto pauses = between_looks();
        while (!watched->end && now() < until) {
            auto pause = reactor_.sleep_for(pauses.next());
            co_await pause;
        }
    }
    watched->stop = Watched::Stop::none;
    remove_directory(watched->directory);
    // A container has it, or a file of it is open elsewhere; how it ends is told then.
    if (!watched->end) co_return failed(EBUSY, "it is in use in another place");
    Reply reply;
    tell_ended(reply, *watched);
    co_return reply;
}

Reply MounterProcess::detach(const Request& request) {
    const auto found = watched_.find(std::string(request.directory.view()));
    // Whoever waits for it without a keeper and a worker ends.
    if (found != watched_.end()) found->second->held.reset();
    detach_all(mounts_, path_of(request.directory.view()));
    remove_directory(request.directory.view());
    return {};
}

core::Task<Reply> MounterProcess::ask(const Request& request, control::Message question) {
    const auto watched = find(request);
    if (!watched) co_return failed(ESRCH, kProcessesGone);
    const auto deadline = deadline_of(request);
    auto waiting = wait_for_keeper(watched, deadline);
    co_await waiting;
    auto asking = ask_keeper(*watched, std::move(question), deadline);
    const auto answer = co_await asking;
    if (is_anothers(answer)) co_return failed(ESRCH, kNumberTaken);
    if (!answer) co_return failed(ETIMEDOUT, "its keeper does not answer");
    Reply reply;
    if (answer->verb() == "lost") {  // of a denial
        tell_ended(reply, {"", answer->all("lost")});
        co_return reply;
    }
    if (answer->verb() != "ok") co_return failed(EINVAL, answer->text("text"));
    if (!reply.text.set(answer->text("json"))) co_return failed(EMSGSIZE, "its answer is too long");
    co_return reply;
}

Reply MounterProcess::reload() {
    auto loaded = options_.load();
    if (!loaded) return failed(loaded.error().code, loaded.error().user_text);
    allowed_ = std::move(*loaded);
    share_out_soon();
    return {};
}

/// Those of detached mounts and those that are being made count as well.
std::uint64_t MounterProcess::write_behind_share() const noexcept {
    return share_of(allowed_.write_behind_total, keepers_ + starts_.size()).value_or(kLeastShare);
}

/// Mounts come and go in numbers: once for all of them.
void MounterProcess::share_out_soon() {
    if (std::exchange(sharing_, Sharing::planned) == Sharing::idle) core::spawn(share_out());
}

core::Task<> MounterProcess::share_out() {
    auto pause = reactor_.sleep_for(kSharePause);
    co_await pause;
    sharing_ = Sharing::idle;
    const auto share = write_behind_share();
    std::vector<std::shared_ptr<Watched>> others;
    for (const auto& [directory, watched] : watched_) {
        if (watched->write_behind_limit != share) others.push_back(watched);
    }
    for (const auto& watched : others) {
        if (watched->end) continue;
        control::Message word("write_behind");
        word.add("bytes", share);
        auto asking = ask_keeper(*watched, std::move(word), now() + kShareTime);
        const auto answer = co_await asking;
        // One that does not listen, or is of another version, is told again at the next change.
        if (answer && answer->verb() == "ok") watched->write_behind_limit = share;
    }
}

/// ESRCH: another keeper has its device number by now. Nothing was said to that one.
core::Task<core::Result<control::Message>> MounterProcess::ask_keeper(
    const Watched& watched, control::Message question, core::SteadyTime deadline
) {
    const control::Address address{watched.minor, 0, static_cast<pid_t>(watched.keeper.pid)};
    const auto channel = control::send_to_keeper(address, question, control::Connect::at_once);
    if (!channel) co_return channel.error();
    Ready ready(reactor_, channel->fd(), deadline);
    if (!co_await ready) co_return core::Error(ETIMEDOUT);
    auto received = channel->receive();
    if (!received) co_return received.error();
    co_return std::move(received->message);
}

std::shared_ptr<Watched> MounterProcess::find(const Request& request) const {
    const auto found = watched_.find(std::string(request.directory.view()));
    if (found == watched_.end()) return nullptr;
    const WorkerId wanted{request.pid, request.start_time};
    return wanted == found->second->mount ? found->second : nullptr;
}

std::string MounterProcess::path_of(std::string_view directory) const {
    return mount_path(options_.root, directory);
}

void MounterProcess::remove_directory(std::string_view directory) const {
    // EBUSY, ENOTEMPTY: something is there, which is then not ours to remove.
    ::unlinkat(root_.get(), std::string(directory).c_str(), AT_REMOVEDIR);
}

void MounterProcess::send(const Reply& reply) {
    // A front that does not read holds up only itself.
    while (::send(front_.get(), &reply, sizeof reply, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        if (errno != EAGAIN && errno != EINTR) return;
        pollfd wait{front_.get(), POLLOUT, 0};
        ::poll(&wait, 1, 1000);
    }
}

}  // namespace uidnfs::plugins::mounter
