// SPDX-License-Identifier: Apache-2.0
// Random operations, compared step by step with a reference tree of a few lines. A failure names
// its seed; UIDNFS_TEST_SEED runs that one again.
#include "fs/fixture.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;

struct Node {
    enum class Type : std::uint8_t { file, directory } type = Type::file;
    std::string content = {};
    enum class Name : std::uint8_t { there, gone } name = Name::there;
};
using NodeRef = std::shared_ptr<Node>;

class ModelRun : public FsTest {
protected:
    static constexpr std::size_t kMostOpen = 4;
    static constexpr std::size_t kMostBytes = 300'000;
    static constexpr std::chrono::milliseconds kTime{900};

    struct OpenedFile {
        Mount* mount;
        File file;
        NodeRef node;
    };

    void SetUp() override {
        FsTest::SetUp();
        tree_[""] = std::make_shared<Node>(Node{Node::Type::directory});
        const auto* given = std::getenv("UIDNFS_TEST_SEED");
        seed_ = given ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10))
                      : std::random_device()();
        random_.seed(seed_);
    }

    /// Steps until time is up or something is wrong; then everything is looked at.
    void go(std::vector<Mount*> mounts) {
        mounts_ = std::move(mounts);
        now_ = mounts_.front();
        const auto end = std::chrono::steady_clock::now() + kTime;
        std::size_t steps = 0;
        for (; std::chrono::steady_clock::now() < end && !HasFailure(); ++steps) try_step(steps);
        if (HasFailure()) return;
        while (!opened_.empty()) close_one();
        for (auto* mount : mounts_) mount->drain();
        for (auto* mount : mounts_) {
            change_to(*mount);
            compare_everything();
        }
        EXPECT_GT(steps, 100u);
        RecordProperty("steps", static_cast<int>(steps));
        if (HasFailure()) ADD_FAILURE() << "seed " << seed_;
    }

private:
    std::size_t below(std::size_t limit) { return random_() % limit; }

    void try_step(std::size_t number) {
        doing_.clear();
        try {
            if (mounts_.size() > 1 && below(3) == 0) change_to(*mounts_[below(mounts_.size())]);
            step();
        } catch (const std::exception& error) {
            ADD_FAILURE() << error.what();
        }
        if (HasFailure()) {
            ADD_FAILURE() << "seed " << seed_ << " step " << number << " client "
                          << (now_ == mounts_.front() ? "first: " : "second: ") << doing_;
        }
    }
    /// To another client, when all that it knew is too old: what is closed must be seen now.
    void change_to(Mount& mount) {
        if (&mount == now_) return;
        now_ = &mount;
        world.clock.advance(61s);
    }

    void step() {
        switch (below(16)) {
            case 0:
            case 1: return make_file();
            case 2: return make_directory();
            case 3:
            case 4: return remove();
            case 5:
            case 6: return rename();
            case 7: return truncate();
            case 8: return look();
            case 9: return list(any_directory());
            case 10: return read_whole();
            case 11:
                if (mounts_.size() == 1 && opened_.size() < kMostOpen) return open();
                return rewrite();
            case 12: return opened_.empty() ? rewrite() : close_one();
            default: return opened_.empty() ? rewrite() : use_open();
        }
    }

    // --- choices
    // -----------------------------------------------------------------------------------

    std::string any(const std::function<bool(const std::string&, const Node&)>& fits) {
        std::vector<std::string> found;
        for (const auto& [path, node] : tree_) {
            if (fits(path, *node)) found.push_back(path);
        }
        return found.empty() ? std::string() : found[below(found.size())];
    }
    std::string any_directory() {
        return any([](const std::string& path, const Node& node) {
            return node.type == Node::Type::directory &&
                   std::count(path.begin(), path.end(), '/') < 4;
        });
    }
    std::string any_file() {
        return any([](const std::string&, const Node& node) {
            return node.type == Node::Type::file;
        });
    }
    /// Often one that exists, often one that does not.
    std::string any_path() { return any_directory() + "/" + std::string(1, char('a' + below(6))); }
    std::string any_bytes() {
        std::string out(below(4) == 0 ? below(70'000) : below(300), '\0');
        for (auto& byte : out) byte = static_cast<char>(random_());
        return out;
    }
    NodeRef find(const std::string& path) const {
        const auto found = tree_.find(path);
        return found == tree_.end() ? nullptr : found->second;
    }
    bool has_children(const std::string& path) const {
        const auto next = tree_.upper_bound(path + "/");
        return next != tree_.end() && next->first.starts_with(path + "/");
    }
    /// Removed files that are open keep a hidden name on the server, so that a directory is not
    /// empty.
    bool hides_files() const {
        return std::any_of(opened_.begin(), opened_.end(), [](const OpenedFile& opened) {
            return opened.node->name == Node::Name::gone;
        });
    }
    /// Whether the operation succeeded, which it had to unless `expected` is an error.
    bool agrees(int got, int expected) {
        if (expected == 0 && got == ENOTEMPTY && hides_files()) return false;
        EXPECT_EQ(got, expected) << doing_;
        return got == 0;
    }
    static void put(Node& node, std::size_t offset, std::string_view bytes) {
        if (bytes.empty()) return;
        if (node.content.size() < offset + bytes.size()) node.content.resize(offset + bytes.size());
        node.content.replace(offset, bytes.size(), bytes);
    }

    // --- operations
    // --------------------------------------------------------------------------------

    void make_file() {
        const auto path = any_path();
        const auto bytes = any_bytes();
        doing_ = fmt::format("create {} with {} bytes", path, bytes.size());
        const auto node = find(path);
        if (node && node->type == Node::Type::directory) return;  // the kernel refuses that
        auto flags = O_RDWR | O_TRUNC;
        const auto made = node ? now_->try_open(path, flags) : now_->try_create(path, flags);
        ASSERT_EQ(errno_of(made), 0);
        auto& kept = tree_[path];
        if (!kept) kept = std::make_shared<Node>();
        kept->content.clear();
        put(*kept, 0, bytes);
        if (!bytes.empty()) now_->write_at(*made, 0, bytes);
        EXPECT_EQ(now_->close_file(*made), 0);
    }
    void make_directory() {
        const auto path = any_path();
        doing_ = "mkdir " + path;
        if (agrees(now_->make_dir(path), find(path) ? EEXIST : 0)) {
            tree_[path] = std::make_shared<Node>(Node{Node::Type::directory});
        }
    }
    void remove() {
        const auto path = any_path();
        const auto node = find(path);
        doing_ = "remove " + path;
        if (node && node->type == Node::Type::directory) {
            if (!agrees(now_->remove_dir(path), has_children(path) ? ENOTEMPTY : 0)) return;
        } else if (!agrees(now_->remove_file(path), node ? 0 : ENOENT)) {
            return;
        }
        node->name = Node::Name::gone;
        tree_.erase(path);
    }
    void rename() {
        const auto from = any_path();
        const auto to = any_path();
        doing_ = fmt::format("rename {} {}", from, to);
        // What the kernel answers itself.
        if (to == from || to.starts_with(from + "/") || from.starts_with(to + "/")) return;
        const auto node = find(from);
        const auto over = find(to);
        const auto expected = [&] {
            if (!node) return ENOENT;
            if (!over) return 0;
            if (over->type != node->type) return over->type == Node::Type::file ? ENOTDIR : EISDIR;
            return has_children(to) ? ENOTEMPTY : 0;
        }();
        if (expected == ENOTDIR || expected == EISDIR) return;
        if (!agrees(now_->rename_path(from, to), expected)) return;
        if (over) over->name = Node::Name::gone;
        std::map<std::string, NodeRef> moved;
        for (auto it = tree_.begin(); it != tree_.end();) {
            const bool moves = it->first == from || it->first.starts_with(from + "/");
            if (moves) moved[to + it->first.substr(from.size())] = it->second;
            it = moves ? tree_.erase(it) : std::next(it);
        }
        for (auto& [path, what] : moved) tree_[path] = what;
    }
    void truncate() {
        const auto path = any_file();
        if (path.empty()) return;
        const auto size = below(below(2) == 0 ? 1000 : kMostBytes);
        doing_ = fmt::format("truncate {} to {}", path, size);
        EXPECT_EQ(now_->truncate_path(path, size), 0);
        find(path)->content.resize(size);
    }
    void look() {
        const auto path = any_path();
        doing_ = "stat " + path;
        compare_stat(path);
    }
    void compare_stat(const std::string& path) {
        const auto node = find(path);
        ASSERT_EQ(now_->exists(path), node != nullptr) << path;
        if (!node) return;
        const auto st = now_->stat_of(path);
        EXPECT_EQ(S_ISDIR(st.st_mode), node->type == Node::Type::directory) << path;
        if (node->type == Node::Type::file) {
            EXPECT_EQ(static_cast<std::size_t>(st.st_size), node->content.size()) << path;
        }
    }
    void list(const std::string& path) {
        doing_ = "list " + path;
        std::vector<std::string> expected;
        for (const auto& [other, node] : tree_) {
            const auto slash = other.rfind('/');
            if (!other.empty() && other.substr(0, slash) == path) {
                expected.push_back(other.substr(slash + 1));
            }
        }
        auto got = now_->names(path);
        std::erase_if(got, [](const std::string& name) { return name.starts_with(".nfs"); });
        EXPECT_EQ(got, expected) << path;
    }
    void read_whole() {
        const auto path = any_file();
        if (path.empty()) return;
        doing_ = "read " + path;
        EXPECT_TRUE(now_->content_of(path) == find(path)->content);
    }
    void rewrite() {
        const auto path = any_file();
        if (path.empty()) return;
        const auto node = find(path);
        const auto offset = below(node->content.size() + 5000) % kMostBytes;
        const auto bytes = any_bytes();
        doing_ = fmt::format("write {} at {}+{}", path, offset, bytes.size());
        const auto file = now_->open_file(path);
        if (!bytes.empty()) now_->write_at(file, offset, bytes);
        put(*node, offset, bytes);
        EXPECT_EQ(now_->close_file(file), 0);
    }
    void open() {
        const auto path = any_file();
        if (path.empty()) return;
        doing_ = "open " + path;
        opened_.push_back({now_, now_->open_file(path), find(path)});
    }
    void close_one() {
        const auto at = opened_.begin() + static_cast<std::ptrdiff_t>(below(opened_.size()));
        doing_ = "close";
        EXPECT_EQ(at->mount->close_file(at->file), 0);
        opened_.erase(at);
    }
    /// Also of files whose names are gone.
    void use_open() {
        auto& [mount, file, node] = opened_[below(opened_.size())];
        const auto offset = below(node->content.size() + 3000) % kMostBytes;
        switch (below(5)) {
            case 0:
                doing_ = fmt::format("truncate open {}", offset);
                EXPECT_EQ(mount->truncate_open(file, offset), 0);
                node->content.resize(offset);
                break;
            case 1:
                doing_ = "fsync";
                EXPECT_EQ(mount->fsync_file(file), 0);
                break;
            case 2:
            case 3: {
                const auto bytes = any_bytes();
                doing_ = fmt::format("write open {}+{}", offset, bytes.size());
                if (!bytes.empty()) mount->write_at(file, offset, bytes);
                put(*node, offset, bytes);
                break;
            }
            default: {
                const auto size = 1 + below(50'000);
                doing_ = fmt::format("read open {}+{} of {}", offset, size, node->content.size());
                const auto expected =
                    offset < node->content.size() ? node->content.substr(offset, size) : "";
                EXPECT_TRUE(mount->read_at(file, offset, size) == expected);
            }
        }
    }
    void compare_everything() {
        for (const auto& [path, node] : tree_) {
            if (node->type == Node::Type::directory) {
                list(path);
                continue;
            }
            compare_stat(path);
            EXPECT_TRUE(now_->content_of(path) == node->content) << path;
            EXPECT_TRUE(server.content(path) == node->content) << path;
            EXPECT_TRUE(server.disk_content(path) == node->content) << path;
        }
    }

    std::uint32_t seed_ = 0;
    std::mt19937 random_;
    std::map<std::string, NodeRef> tree_;  ///< by path; "" is the root
    std::vector<Mount*> mounts_;
    Mount* now_ = nullptr;
    std::vector<OpenedFile> opened_;
    std::string doing_;
};

TEST_F(ModelRun, one_client) {
    client_options.travel.most_rounds = 3;
    go({&mount()});
}

TEST_F(ModelRun, two_clients_that_close_their_files) {
    client_options.travel.most_rounds = 3;
    go({&mount(), &second()});
}

}  // namespace
}  // namespace uidnfs::test
