// SPDX-License-Identifier: Apache-2.0
#include "fs/model_run.hpp"

#include "core/log.hpp"
#include "fs/fixture.hpp"
#include "fs/model_world.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;
using Kind = ModelStep::Kind;

constexpr std::array<const char*, ModelStep::kKinds> kNames{
    "make_file", "make_alone",   "make_directory", "make_symlink", "make_link",
    "remove",    "rename",       "truncate",       "chmod",        "stat",
    "list",      "read",         "rewrite",        "open",         "open_append",
    "close",     "write_open",   "read_open",      "cut_open",     "sync_open",
    "stat_open", "crash_server", "kill_worker",    "trouble",      "wait"};
/// How often each kind is drawn.
constexpr std::array<int, ModelStep::kKinds> kWeights{8, 2, 4, 2,  3, 7, 7, 3, 2, 4, 3, 4, 6,
                                                      7, 3, 6, 12, 6, 3, 3, 2, 2, 1, 6, 2};

constexpr std::array kPaths{
    "/a",
    "/b",
    "/c",
    "/d",
    "/x",
    "/x/a",
    "/x/b",
    "/y",
    "/y/a",
    "/x/z",
    "/x/z/a",
    "/x/z/b",
    "/y/a/b",
    "/y/b",
    "/x/b/c",
    "/x/z/a/b",
    "/x/z/a/c",
    "/y/a/c"};
constexpr std::array kModes{0600u, 0640u, 0644u, 0755u};
constexpr std::size_t kMostOpen = 5;
constexpr std::size_t kMostBytes = 120'000;

std::string path_of(std::uint32_t number) { return kPaths[number % kPaths.size()]; }

struct Node;
using NodeRef = std::shared_ptr<Node>;

struct Node {
    nfs::FileType type = nfs::FileType::regular;
    std::string content = {};  ///< of a symlink: its text
    mode_t mode = 0644;
    std::size_t opens = 0;
    NodeRef hidden_in = {};  ///< removed while open: a silly name lies in this directory
};

struct Mismatch : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Run {
public:
    explicit Run(const ModelPlan& plan) : world_(random_behaviour(plan.seed)), plan_(plan) {
        for (std::size_t i = 0; i < plan.clients; ++i) {
            auto with = default_options();
            choose_options(with, plan.seed);
            // Bytes that close left uncommitted may come back over those of another client when the
            // server restarts (docs/SEMANTICS.md).
            if (plan.clients > 1) with.commit_on = fs::CommitOn::close;
            // Nor are names that the other made or removed seen at once where listings answer.
            if (plan.clients > 1) with.lookup_cache = fs::LookupCache::none;
            MemoryClient::Options client;
            client.travel = {3, plan.seed + i};
            client.lost_reply = LostReply::remember;
            client.name = i == 0 ? "first" : "second";
            mounts_.push_back(std::make_unique<Mount>(world_, with, client));
        }
        tree_[""] = std::make_shared<Node>(Node{nfs::FileType::directory});
        world_.explain_hangs([this] {
            return fmt::format("model: seed {} step {}: {}", plan_.seed, at_, doing_);
        });
    }

    std::optional<ModelFailure> go() {
        std::optional<ModelFailure> failure;
        try {
            for (at_ = 0; at_ < plan_.steps.size(); ++at_) take(plan_.steps[at_]);
            finish();
        } catch (const std::exception& error) {
            failure = ModelFailure{at_, doing_ + ": " + error.what()};
        }
        // Nobody may be left waiting, or frames would outlive their mount.
        world_.server.forget_faults();
        for (auto& m : mounts_) {
            m->client().resend_ignored();
            const auto deadline = std::chrono::steady_clock::now() + 10s;
            world_.run(m->fs().drain(deadline));
            world_.serve_until([&] { return m->client().in_flight() == 0; });
            if (!failure && !m->client().violations().empty()) {
                failure = ModelFailure{at_, m->client().violations().front()};
            }
        }
        return failure;
    }

private:
    struct Opened {
        std::uint8_t client;
        File file;
        NodeRef node;
        enum class Mode : std::uint8_t { update, append } mode = Mode::update;
    };

    Mount& m() { return *mounts_[now_]; }
    MemoryServer& server() { return world_.server; }

    template <class A, class B>
    void same(const A& got, const B& expected, std::string_view what) {
        if (got == static_cast<A>(expected)) return;
        throw Mismatch(fmt::format("{} is {}, expected {}", what, got, expected));
    }
    static void same_bytes(
        const std::string& got, const std::string& expected, std::string_view what
    ) {
        if (got == expected) return;
        const auto limit = std::min(got.size(), expected.size());
        std::size_t at = 0;
        while (at < limit && got[at] == expected[at]) ++at;
        throw Mismatch(fmt::format(
            "{}: {} bytes, expected {}; the first difference is at {}",
            what,
            got.size(),
            expected.size(),
            at
        ));
    }

    NodeRef find(const std::string& path) const {
        const auto found = tree_.find(path);
        return found == tree_.end() ? nullptr : found->second;
    }
    static std::string parent_of(const std::string& path) {
        return path.substr(0, path.rfind('/'));
    }
    bool has_parent(const std::string& path) const {
        const auto parent = find(parent_of(path));
        return parent && parent->type == nfs::FileType::directory;
    }
    std::size_t names_of(const NodeRef& node) const {
        return static_cast<std::size_t>(std::count_if(tree_.begin(), tree_.end(), [&](auto& entry) {
            return entry.second == node;
        }));
    }
    bool is_empty(const std::string& path) const {
        const auto next = tree_.upper_bound(path + "/");
        if (next != tree_.end() && next->first.starts_with(path + "/")) return false;
        const auto node = find(path);
        return std::none_of(opened_.begin(), opened_.end(), [&](const Opened& opened) {
            return opened.node->hidden_in == node;
        });
    }
    /// Close-to-open says nothing about files that another client has open.
    bool is_elsewhere(const NodeRef& node) const {
        return node && std::any_of(opened_.begin(), opened_.end(), [&](const Opened& opened) {
                   return opened.node == node && opened.client != now_;
               });
    }
    static void put(Node& node, std::size_t offset, std::string_view bytes) {
        if (bytes.empty()) return;
        if (node.content.size() < offset + bytes.size()) node.content.resize(offset + bytes.size());
        node.content.replace(offset, bytes.size(), bytes);
    }
    void unname(const std::string& path) {
        const auto node = find(path);
        if (node->opens > 0 && !node->hidden_in) node->hidden_in = find(parent_of(path));
        tree_.erase(path);
    }

    void change_to(std::uint8_t client) {
        client = static_cast<std::uint8_t>(client % mounts_.size());
        if (client == now_) return;
        now_ = client;
        world_.clock.advance(61s);  // all that it knew is too old: what is closed must be seen now
    }

    void take(const ModelStep& step) {
        doing_ = describe(step);
        change_to(step.client);
        const auto path = path_of(step.n[0]);
        const auto node = find(path);
        const bool is_file = node && node->type == nfs::FileType::regular;
        switch (step.kind) {
            case Kind::crash_server: return server().crash();
            case Kind::kill_worker: return m().kill_and_restart();
            case Kind::trouble: return server().inject(random_fault(server(), step.n));
            case Kind::wait:
                return world_.clock.advance(std::chrono::milliseconds(step.n[0] % 90'000));
            case Kind::close:
            case Kind::write_open:
            case Kind::read_open:
            case Kind::cut_open:
            case Kind::sync_open:
            case Kind::stat_open: return use_open(step);
            default: break;
        }
        if (!has_parent(path) || is_elsewhere(node)) return;
        switch (step.kind) {
            case Kind::make_file: return make_file(step, path, node);
            case Kind::make_alone: return make_alone(step, path, node);
            case Kind::make_directory:
                return make(path, node, {nfs::FileType::directory}, m().make_dir(path));
            case Kind::make_symlink: {
                const auto text = fmt::format("target {}", step.n[1] % 100);
                return make(
                    path, node, {nfs::FileType::symlink, text}, m().symlink_path(text, path)
                );
            }
            case Kind::make_link: return make_link(path_of(step.n[1]), path, node);
            case Kind::remove: return remove(path, node);
            case Kind::rename: return rename(path, path_of(step.n[1]), node);
            case Kind::stat: return compare_stat(path);
            case Kind::list:
                if (node && node->type == nfs::FileType::directory) list(path);
                return;
            default: break;
        }
        if (!is_file) return;
        const auto offset = step.n[1] % (node->content.size() + 3000) % kMostBytes;
        switch (step.kind) {
            case Kind::truncate:
                same(m().truncate_path(path, offset), 0, "truncate");
                node->content.resize(offset);
                return;
            case Kind::chmod:
                node->mode = kModes[step.n[1] % kModes.size()];
                return same(m().chmod_path(path, node->mode), 0, "chmod");
            case Kind::read: return same_bytes(m().content_of(path), node->content, path);
            case Kind::rewrite: {
                const auto file = m().open_file(path);
                write(file, *node, offset, random_bytes(step.n));
                return same(m().close_file(file), 0, "close");
            }
            case Kind::open: return open(path, node, Opened::Mode::update);
            case Kind::open_append: return open(path, node, Opened::Mode::append);
            default: return;
        }
    }

    void write(const File& file, Node& node, std::size_t offset, const std::string& bytes) {
        if (!bytes.empty()) m().write_at(file, offset, bytes);
        put(node, offset, bytes);
    }
    void make_file(const ModelStep& step, const std::string& path, NodeRef node) {
        if (node && node->type != nfs::FileType::regular) return;  // the kernel's to decide
        const auto made = node ? m().try_open(path, O_RDWR | O_TRUNC)
                               : m().try_create(path, O_RDWR | O_TRUNC, 0644);
        same(errno_of(made), 0, "create");
        if (!node) node = tree_[path] = std::make_shared<Node>();
        node->content.clear();
        write(*made, *node, 0, random_bytes(step.n));
        same(m().close_file(*made), 0, "close");
    }
    void make_alone(const ModelStep& step, const std::string& path, const NodeRef& node) {
        const mode_t mode = kModes[step.n[1] % kModes.size()];
        const auto made = m().try_create(path, O_RDWR | O_EXCL, mode);
        same(errno_of(made), node ? EEXIST : 0, "create alone");
        if (node) return;
        tree_[path] = std::make_shared<Node>(Node{nfs::FileType::regular, {}, mode});
        same(m().close_file(*made), 0, "close");
    }
    void make(const std::string& path, const NodeRef& node, Node made, int code) {
        same(code, node ? EEXIST : 0, "make");
        if (!node) tree_[path] = std::make_shared<Node>(std::move(made));
    }
    void make_link(const std::string& existing, const std::string& path, const NodeRef& over) {
        const auto node = find(existing);
        if (!node || node->type != nfs::FileType::regular || is_elsewhere(node)) return;
        same(m().link_path(existing, path), over ? EEXIST : 0, "link");
        if (!over) tree_[path] = node;
    }
    void remove(const std::string& path, const NodeRef& node) {
        if (node && node->type == nfs::FileType::directory) {
            const bool empty = is_empty(path);
            same(m().remove_dir(path), empty ? 0 : ENOTEMPTY, "rmdir");
            if (empty) tree_.erase(path);
            return;
        }
        same(m().remove_file(path), node ? 0 : ENOENT, "unlink");
        if (node) unname(path);
    }
    void rename(const std::string& from, const std::string& to, const NodeRef& node) {
        const auto over = find(to);
        const auto type_of = [](const NodeRef& one) {
            return one->type == nfs::FileType::directory;
        };
        // What the kernel answers itself.
        if (!has_parent(to) || to == from || to.starts_with(from + "/") ||
            from.starts_with(to + "/"))
            return;
        if (over &&
            (over == node || is_elsewhere(over) || (node && type_of(node) != type_of(over))))
            return;
        const int expected = !node                                    ? ENOENT
                             : over && type_of(over) && !is_empty(to) ? ENOTEMPTY
                                                                      : 0;
        same(m().rename_path(from, to), expected, "rename");
        if (expected != 0) return;
        if (over) unname(to);
        std::map<std::string, NodeRef> moved;
        for (auto it = tree_.begin(); it != tree_.end();) {
            const bool moves = it->first == from || it->first.starts_with(from + "/");
            if (moves) moved[to + it->first.substr(from.size())] = it->second;
            it = moves ? tree_.erase(it) : std::next(it);
        }
        tree_.merge(moved);
    }
    void open(const std::string& path, const NodeRef& node, Opened::Mode mode) {
        if (opened_.size() == kMostOpen) return;
        const int flags = mode == Opened::Mode::append ? O_RDWR | O_APPEND : O_RDWR;
        opened_.push_back({now_, m().open_file(path, flags), node, mode});
        ++node->opens;
    }
    void close(std::size_t which) {
        const auto opened = opened_[which];
        opened_.erase(opened_.begin() + static_cast<std::ptrdiff_t>(which));
        if (--opened.node->opens == 0) opened.node->hidden_in.reset();
        same(mounts_[opened.client]->close_file(opened.file), 0, "close");
    }
    void use_open(const ModelStep& step) {
        if (opened_.empty()) return;
        const auto which = step.n[0] % opened_.size();
        change_to(opened_[which].client);
        const auto [client, file, node, mode] = opened_[which];
        const auto size = node->content.size();
        const auto offset = step.n[1] % (size + 3000) % kMostBytes;
        switch (step.kind) {
            case Kind::close: return close(which);
            case Kind::write_open:
                if (mode == Opened::Mode::append && size > kMostBytes) return;
                if (mode == Opened::Mode::update)
                    return write(file, *node, offset, random_bytes(step.n));
                if (const auto bytes = random_bytes(step.n); !bytes.empty()) {
                    m().write_at(file, offset, bytes);  // wherever the kernel thinks the end is
                    put(*node, size, bytes);
                }
                return;
            case Kind::read_open: {
                const auto length = 1 + step.n[2] % 40'000;
                const auto expected = offset < size ? node->content.substr(offset, length) : "";
                return same_bytes(m().read_at(file, offset, length), expected, "read");
            }
            case Kind::cut_open:
                same(m().truncate_open(file, offset), 0, "ftruncate");
                node->content.resize(offset);
                return;
            case Kind::sync_open:
                same(m().fsync_file(file), 0, "fsync");
                // Whatever has a name can be looked at on the server's disk.
                for (const auto& [path, named] : tree_) {
                    if (named == node)
                        same_bytes(server().disk_content(path), node->content, "disk");
                }
                return;
            default: {
                const auto st = m().stat_id(file.inode);
                same(st.st_size, static_cast<off_t>(size), "fstat size");
                same(st.st_nlink, names_of(node), "fstat nlink");
            }
        }
    }

    void compare_stat(const std::string& path) {
        const auto node = find(path);
        same(m().exists(path), node != nullptr, "exists " + path);
        if (!node) return;
        const auto st = m().stat_of(path);
        same(S_ISDIR(st.st_mode), node->type == nfs::FileType::directory, "is a directory " + path);
        if (node->type != nfs::FileType::regular) return;
        same(st.st_size, static_cast<off_t>(node->content.size()), "size of " + path);
        same(st.st_nlink, names_of(node), "links of " + path);
        same(st.st_mode & 07777, node->mode, "mode of " + path);
    }
    void list(const std::string& path) {
        std::vector<std::string> expected;
        for (const auto& [other, node] : tree_) {
            if (!other.empty() && parent_of(other) == path) {
                expected.push_back(other.substr(other.rfind('/') + 1));
            }
        }
        for (const auto listing : {fs::Listing::names, fs::Listing::plus}) {
            std::vector<std::string> got;
            for (const auto& item : m().list(path, listing, 3)) {
                if (!item.name.starts_with(".nfs")) got.push_back(item.name);
            }
            std::sort(got.begin(), got.end());
            same(
                fmt::format("{}", fmt::join(got, " ")),
                fmt::format("{}", fmt::join(expected, " ")),
                "listing of " + path
            );
        }
    }
    void finish() {
        doing_ = "at the end";
        while (!opened_.empty()) {
            change_to(opened_.back().client);
            close(opened_.size() - 1);
        }
        server().forget_faults();
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        for (auto& mount : mounts_) {
            if (!world_.run(mount->fs().drain(deadline)).empty()) throw Mismatch("bytes are left");
        }
        for (std::size_t i = 0; i < mounts_.size(); ++i) {
            change_to(static_cast<std::uint8_t>(i));
            for (const auto& [path, node] : tree_) compare(path, *node);
        }
    }
    void compare(const std::string& path, const Node& node) {
        switch (node.type) {
            case nfs::FileType::directory:
                for (const auto& name : server().names(path)) {
                    if (name.starts_with(".nfs")) throw Mismatch("left on the server: " + name);
                }
                return list(path);
            case nfs::FileType::symlink: {
                const auto text = m().run(m().fs().readlink(m().caller, m().walk(path)));
                return same_bytes(text ? *text : "(error)", node.content, path);
            }
            default: break;
        }
        compare_stat(path);
        same_bytes(m().content_of(path), node.content, path);
        same_bytes(server().disk_content(path), node.content, path + " on disk");
    }

    World world_;
    const ModelPlan& plan_;
    std::vector<std::unique_ptr<Mount>> mounts_;
    std::map<std::string, NodeRef> tree_;  ///< by path; "" is the root
    std::vector<Opened> opened_;
    std::uint8_t now_ = 0;
    std::size_t at_ = 0;
    std::string doing_;
};

}  // namespace

std::string describe(const ModelStep& step) {
    auto out =
        fmt::format("client {} {}", step.client, kNames[static_cast<std::size_t>(step.kind)]);
    if (step.kind < Kind::close) out += " " + path_of(step.n[0]);
    if (step.kind == Kind::rename || step.kind == Kind::make_link) out += " " + path_of(step.n[1]);
    return out + fmt::format(" {{{}}}", fmt::join(step.n, ", "));
}

ModelPlan make_plan(std::uint64_t seed, std::size_t clients, std::size_t steps) {
    std::mt19937_64 random(seed);
    std::discrete_distribution<int> kinds(kWeights.begin(), kWeights.end());
    ModelPlan plan{seed, clients, {}};
    std::uint8_t client = 0;
    for (std::size_t i = 0; i < steps; ++i) {
        if (random() % 4 == 0) client = static_cast<std::uint8_t>(random() % clients);
        ModelStep step{static_cast<Kind>(kinds(random)), client, {}};
        for (auto& number : step.n) number = static_cast<std::uint32_t>(random() % 1'000'000);
        plan.steps.push_back(step);
    }
    return plan;
}

std::optional<ModelFailure> run_plan(const ModelPlan& plan) {
    core::log::set_level(core::log::Level::off);
    return Run(plan).go();
}

ModelPlan shrink(ModelPlan plan) { return shrink_with(std::move(plan), run_plan); }

}  // namespace uidnfs::test
