// SPDX-License-Identifier: Apache-2.0
// Store: what is on disk afterwards, and what a crash between any two steps leaves.
#include "plugins/core/store.hpp"

#include "plugins/core/store_json.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>

namespace uidnfs::plugins {
namespace {

using namespace std::chrono_literals;
namespace stdfs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const VolumeKey kKey{Dialect::docker, "web"};

DefinitionPtr define(std::string source) {
    auto definition = std::make_shared<Definition>();
    definition->source = std::move(source);
    definition->options = {{"username", "jane"}};
    definition->password = core::Secret("s3cret-word");
    definition->password_state = Definition::Password::here;
    definition->created = std::chrono::sys_seconds(1'790'000'000s);
    return definition;
}

LiveRecord live(std::uint32_t pid) {
    return {
        LiveRecord::Phase::mounted,
        {{pid, 1ull << 40}, "/var/lib/uidnfs/volumes/docker-web", "/run/uidnfs/7.sock"},
        "nas1:/exports/a",
        {1001, 1002, {5, 6}, "ldap", "jane"},
        {{"id1", 2}, {"id2", 0}},
        {{{pid - 1, 5}, "/var/lib/uidnfs/volumes/docker-web", "/run/uidnfs/6.sock", "rule 1"}}};
}

/// A disk that keeps what was synced and, after a crash, forgets the rest: bytes of files and
/// names in directories. Every step counts; the step `crash_at` and all after it fail.
class CrashingDisk final : public FileSystem {
public:
    int steps = 0;
    int crash_at = -1;

    void reboot() {
        crash_at = -1;
        for (auto& [path, file] : durable_names_) file.bytes = durable_bytes_[file.inode];
        names_ = durable_names_;
    }
    /// kill -9: the kernel still has what was written.
    void restart() { crash_at = -1; }

    core::Result<void> make_directory(const std::string&) override { return step(); }

    core::Result<std::vector<std::string>> list(const std::string& directory) override {
        if (const auto ok = step(); !ok) return ok.error();
        std::vector<std::string> names;
        for (const auto& [path, file] : names_) {
            if (parent(path) == directory) names.push_back(path.substr(directory.size() + 1));
        }
        return names;
    }

    core::Result<std::string> read(const std::string& path) override {
        if (const auto ok = step(); !ok) return ok.error();
        const auto file = names_.find(path);
        if (file == names_.end()) return core::Error(ENOENT);
        return file->second.bytes;
    }

    core::Result<void> write(const std::string& path, const std::string& bytes) override {
        if (const auto ok = step(); !ok) return ok;
        auto& file = names_[path];
        file = {++inode_, {}};
        if (const auto ok = step(); !ok) return ok;  // made, empty
        file.bytes = bytes.substr(0, bytes.size() / 2);
        if (const auto ok = step(); !ok) return ok;  // half of it
        file.bytes = bytes;
        if (const auto ok = step(); !ok) return ok;  // not yet on the disk
        durable_bytes_[file.inode] = bytes;
        return {};
    }

    core::Result<void> rename(const std::string& from, const std::string& to) override {
        if (const auto ok = step(); !ok) return ok;
        names_[to] = names_.at(from);
        names_.erase(from);
        return {};
    }

    core::Result<void> remove(const std::string& path) override {
        if (const auto ok = step(); !ok) return ok;
        if (names_.erase(path) == 0) return core::Error(ENOENT);
        return {};
    }

    core::Result<void> sync_directory(const std::string& directory) override {
        if (const auto ok = step(); !ok) return ok;
        std::erase_if(durable_names_, [&](const auto& entry) {
            return parent(entry.first) == directory;
        });
        for (const auto& entry : names_) {
            if (parent(entry.first) == directory) durable_names_.insert(entry);
        }
        return {};
    }

private:
    struct File {
        int inode = 0;
        std::string bytes;
    };

    static std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }

    core::Result<void> step() {
        const int now = steps++;
        if (crash_at >= 0 && now >= crash_at) return core::Error(EIO);
        return {};
    }

    std::map<std::string, File> names_;
    std::map<std::string, File> durable_names_;
    std::map<int, std::string> durable_bytes_;
    int inode_ = 0;
};

enum class After { kill, power_loss };

/// Runs `change` with a crash at each of its steps in turn. `before` prepares, `expect` looks at
/// what is found afterwards; it is told whether `change` reported success.
void crash_everywhere(
    const std::function<void(Store&)>& before,
    const std::function<bool(Store&)>& change,
    const std::function<void(const std::vector<StoredVolume>&, bool succeeded)>& expect
) {
    for (const auto after : {After::kill, After::power_loss}) {
        bool succeeded = false;
        for (int at = 0; !succeeded; ++at) {
            ASSERT_LT(at, 50);
            SCOPED_TRACE(
                fmt::format("crash at step {}, {}", at, after == After::kill ? "kill" : "power")
            );
            CrashingDisk disk;
            Store store(disk, {"/s", "/r"});
            ASSERT_TRUE(store.load());
            before(store);
            disk.crash_at = disk.steps + at;
            succeeded = change(store);
            after == After::kill ? disk.restart() : disk.reboot();
            Store next(disk, {"/s", "/r"});
            const auto found = next.load();
            ASSERT_TRUE(found) << found.error().user_text;
            expect(*found, succeeded);
        }
    }
}

TEST(StoreCrash, a_definition_is_the_old_or_the_new_one) {
    std::set<std::string> seen;
    crash_everywhere(
        [](Store& store) { ASSERT_TRUE(store.save_definition(kKey, *define("nas1:/old"))); },
        [](Store& store) { return store.save_definition(kKey, *define("nas1:/new")).has_value(); },
        [&](const std::vector<StoredVolume>& found, bool succeeded) {
            ASSERT_EQ(found.size(), 1u);
            const auto& source = found[0].definition->source;
            seen.insert(source);
            if (succeeded) {
                EXPECT_EQ(source, "nas1:/new");
            }
        }
    );
    EXPECT_EQ(seen, (std::set<std::string>{"nas1:/old", "nas1:/new"}));
}

TEST(StoreCrash, a_first_definition_is_there_or_not) {
    std::set<std::size_t> seen;
    crash_everywhere(
        [](Store&) {},
        [](Store& store) { return store.save_definition(kKey, *define("nas1:/new")).has_value(); },
        [&](const std::vector<StoredVolume>& found, bool succeeded) {
            seen.insert(found.size());
            if (succeeded) {
                EXPECT_EQ(found.size(), 1u);
            }
        }
    );
    EXPECT_EQ(seen, (std::set<std::size_t>{0, 1}));
}

TEST(StoreCrash, an_erased_definition_does_not_come_back) {
    crash_everywhere(
        [](Store& store) { ASSERT_TRUE(store.save_definition(kKey, *define("nas1:/old"))); },
        [](Store& store) { return store.erase_definition(kKey).has_value(); },
        [&](const std::vector<StoredVolume>& found, bool succeeded) {
            if (succeeded) {
                EXPECT_EQ(found.size(), 0u);
            }
        }
    );
}

TEST(StoreCrash, a_live_record_is_the_old_or_the_new_one) {
    crash_everywhere(
        [](Store& store) { ASSERT_TRUE(store.save_live(kKey, live(1))); },
        [](Store& store) { return store.save_live(kKey, live(2)).has_value(); },
        [&](const std::vector<StoredVolume>& found, bool succeeded) {
            ASSERT_EQ(found.size(), 1u);
            const auto pid = found[0].live.value().worker.id.pid;
            EXPECT_TRUE(pid == 2 || (pid == 1 && !succeeded));
        }
    );
}

// On a real disk.

class StoreTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string name = ::testing::TempDir() + "uidnfs-store-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        root = name;
        ASSERT_TRUE(store().load());
    }
    void TearDown() override { stdfs::remove_all(root); }

    Store store() { return Store(files, {root + "/state", root + "/run"}); }

    std::vector<StoredVolume> load() {
        auto found = store().load();
        EXPECT_TRUE(found) << found.error().user_text;
        return found ? std::move(*found) : std::vector<StoredVolume>();
    }
    std::string refusal() {
        const auto found = store().load();
        return found ? "loaded" : found.error().user_text;
    }
    std::vector<std::string> damaged() {
        auto one = store();
        EXPECT_TRUE(one.load());
        return one.damaged();
    }
    std::string definition_path(const VolumeKey& key = kKey) const {
        return root + "/state/definitions/" + directory_name(key) + ".json";
    }
    static std::string read(const std::string& path) {
        std::ifstream file(path);
        std::stringstream text;
        text << file.rdbuf();
        return text.str();
    }
    static void write(const std::string& path, std::string_view text) {
        std::ofstream(path) << text;
    }

    std::string root;
    PosixFileSystem files;
};

TEST_F(StoreTest, everything_comes_back) {
    ASSERT_TRUE(store().save_definition(kKey, *define("nas1:/exports/a")));
    ASSERT_TRUE(store().save_live(kKey, live(77)));
    const auto found = load();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].key, kKey);
    EXPECT_EQ(found[0].definition->source, "nas1:/exports/a");
    EXPECT_EQ(found[0].definition->options, define("")->options);
    EXPECT_EQ(found[0].definition->password_state, Definition::Password::lost);
    EXPECT_EQ(found[0].definition->created, define("")->created);
    EXPECT_EQ(found[0].live, live(77));
    ASSERT_TRUE(store().erase_live(kKey));
    EXPECT_EQ(load()[0].live, std::nullopt);
    ASSERT_TRUE(store().erase_definition(kKey));
    EXPECT_TRUE(load().empty());
    EXPECT_TRUE(store().erase_definition(kKey)) << "erasing again is harmless";
}

TEST_F(StoreTest, a_definition_of_before_there_were_times_has_none) {
    write(
        definition_path(),
        R"({"version":1,"plugin":"docker","name":"web","source":"a","options":[],"problems":[],)"
        R"("had_password":false})"
    );
    ASSERT_EQ(load().size(), 1u);
    EXPECT_EQ(load()[0].definition->created, std::nullopt);
}

TEST_F(StoreTest, a_record_of_before_mounts_were_counted_has_one_of_each_holder) {
    auto text = to_json(kKey, live(77));
    const std::string counts = R"(,"delivered":{"id1":2,"id2":0})";
    ASSERT_NE(text.find(counts), std::string::npos) << text;
    text.erase(text.find(counts), counts.size());
    const auto stored = parse_live(text);
    ASSERT_TRUE(stored) << stored.error().user_text;
    EXPECT_EQ(stored->record.holders, (std::vector<Hold>{{"id1", 1}, {"id2", 1}}));
}

TEST_F(StoreTest, a_record_is_one_for_versions_that_do_not_count) {
    const auto text = to_json(kKey, live(77));
    EXPECT_THAT(text, HasSubstr(R"("version":1,)"));
    EXPECT_THAT(text, HasSubstr(R"("holders":["id1","id2"])"));
}

TEST_F(StoreTest, a_record_of_before_workers_could_be_left_has_none) {
    auto text = to_json(kKey, live(77));
    const auto at = text.find(R"(,"left":[{)");
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at, std::string::npos, "}");
    const auto stored = parse_live(text);
    ASSERT_TRUE(stored) << stored.error().user_text;
    EXPECT_TRUE(stored->record.left.empty());
    for (const auto* left : {"{}", "[7]", "[{}]", R"([{"pid":1}])"}) {
        const auto wrong = text.substr(0, at) + R"(,"left":)" + left + "}";
        EXPECT_FALSE(parse_live(wrong)) << left;
    }
}

TEST_F(StoreTest, an_end_that_was_told_is_kept) {
    auto record = live(77);
    EXPECT_THAT(to_json(kKey, record), Not(HasSubstr("told_end")));
    record.told_end = "killed by signal 9";
    const auto stored = parse_live(to_json(kKey, record));
    ASSERT_TRUE(stored) << stored.error().user_text;
    EXPECT_EQ(stored->record, record);
}

TEST_F(StoreTest, counts_that_are_none_are_damage) {
    for (const auto* counts : {"[]", "null", R"({"id1":-1})", R"({"id1":"2"})", R"({"id1":5e9})"}) {
        auto text = to_json(kKey, live(77));
        const auto at = text.find(R"({"id1":2,"id2":0})");
        ASSERT_NE(at, std::string::npos);
        text.replace(at, std::string_view(R"({"id1":2,"id2":0})").size(), counts);
        const auto stored = parse_live(text);
        ASSERT_FALSE(stored) << counts;
        EXPECT_THAT(stored.error().user_text, HasSubstr("\"delivered\"")) << counts;
    }
}

TEST_F(StoreTest, files_are_private_and_hold_no_password) {
    ASSERT_TRUE(store().save_definition(kKey, *define("nas1:/exports/a")));
    ASSERT_TRUE(store().save_live(kKey, live(77)));
    int files_seen = 0;
    for (const auto& entry : stdfs::recursive_directory_iterator(root)) {
        if (entry.path() == root + "/state" || entry.path() == root + "/run") continue;
        struct stat st {};
        ASSERT_EQ(::stat(entry.path().c_str(), &st), 0);
        EXPECT_EQ(st.st_mode & 0777, entry.is_directory() ? 0700u : 0600u) << entry.path();
        if (!entry.is_regular_file()) continue;
        ++files_seen;
        EXPECT_EQ(read(entry.path()).find("s3cret"), std::string::npos);
    }
    EXPECT_EQ(files_seen, 2);
}

TEST_F(StoreTest, hostile_names_stay_in_their_directory) {
    using namespace std::string_literals;
    const std::vector<std::string> names{
        "../../x", "/etc/passwd", "a\0b"s, "..", std::string(300, 'y'), "\xc3\xa4\xe2\x82\xac"};
    for (const auto& name : names) {
        ASSERT_TRUE(store().save_definition({Dialect::cloudfoundry, name}, *define("n:/" + name)));
    }
    const auto found = load();
    ASSERT_EQ(found.size(), names.size());
    std::set<std::string> loaded;
    for (const auto& volume : found) loaded.insert(volume.key.name);
    EXPECT_EQ(loaded, std::set<std::string>(names.begin(), names.end()));
    std::size_t in_place = 0;
    for (const auto& entry : stdfs::recursive_directory_iterator(root)) {
        if (entry.is_regular_file()) {
            ++in_place;
            EXPECT_EQ(entry.path().parent_path(), root + "/state/definitions");
        }
    }
    EXPECT_EQ(in_place, names.size());
}

TEST_F(StoreTest, a_damaged_file_is_put_aside_and_the_others_are_read) {
    const VolumeKey other{Dialect::docker, "other"};
    ASSERT_TRUE(store().save_definition(other, *define("nas1:/exports/b")));
    const std::vector<std::pair<std::string, std::string>> cases{
        {"", "it is not JSON"},
        {"{\"version\":1", "it is not JSON"},
        {"[]", "it is not a JSON object"},
        {"{}", "\"version\" is missing"},
        {R"({"version":0})", "it has version 0, this uidnfsd reads version 1"},
        {R"({"version":1,"plugin":"csi"})", "\"plugin\" is unknown"},
        {R"({"version":1,"plugin":"docker","name":"other","source":"a","options":[],"problems":[],)"
         R"("had_password":false})",
         "it is about a volume of another name"},
        {R"({"version":1,"plugin":"docker","name":"web","source":1})",
         "\"source\" is not a string"},
        {R"({"version":1,"plugin":"docker","name":"web","source":"a","options":[],"problems":[],)"
         R"("had_password":false,"created":-1})",
         "\"created\" is no time"},
        {R"({"version":1,"plugin":"docker","name":"web","source":"","options":[["a"]]})",
         "\"options\" holds other than pairs of strings"},
    };
    const auto aside = definition_path() + ".damaged";
    for (const auto& [text, why] : cases) {
        write(definition_path(), text);
        EXPECT_THAT(
            damaged(),
            ElementsAre(AllOf(
                StartsWith(
                    "the state file " + definition_path() + " cannot be understood: " + why
                ),
                HasSubstr("it is kept as " + aside)
            ))
        );
        EXPECT_EQ(read(aside), text);
        EXPECT_THAT(damaged(), ElementsAre(StartsWith(aside + " was put aside by an earlier")));
        stdfs::remove(aside);
        EXPECT_THAT(damaged(), ElementsAre());
    }
}

TEST_F(StoreTest, a_damaged_live_record_is_put_aside_too) {
    const auto path = root + "/run/live/docker-web.json";
    ASSERT_TRUE(store().save_definition(kKey, *define("nas1:/exports/a")));
    auto text = to_json(kKey, live(5));
    text.replace(text.find("1001"), 4, "-1");
    write(path, text);
    auto at_first = store();
    const auto found = at_first.load();
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), 1u);
    EXPECT_EQ((*found)[0].live, std::nullopt) << "nothing is guessed from it";
    EXPECT_THAT(
        at_first.damaged(), ElementsAre(HasSubstr("\"uid\" is not a number of its range"))
    );
    EXPECT_TRUE(stdfs::exists(path + ".damaged"));
}

TEST_F(StoreTest, a_file_of_a_newer_version_stops_the_daemon) {
    write(definition_path(), R"({"version":2})");
    EXPECT_EQ(
        refusal(),
        "cannot read the state file " + definition_path() +
            ": it has version 2, this uidnfsd reads version 1; start the uidnfsd that wrote it, or "
            "move it away when its volume is no longer needed"
    );
    EXPECT_TRUE(stdfs::exists(definition_path())) << "nothing is damaged";
}

TEST_F(StoreTest, files_that_others_could_have_written_are_left_out_and_told) {
    ASSERT_TRUE(store().save_definition(kKey, *define("nas1:/exports/a")));
    ::chmod(definition_path().c_str(), 0666);
    EXPECT_THAT(damaged(), ElementsAre(HasSubstr("Operation not permitted")));
    stdfs::remove(definition_path());
    stdfs::create_symlink("/etc/hostname", definition_path());
    EXPECT_THAT(damaged(), ElementsAre(HasSubstr("Too many levels of symbolic links")));
    stdfs::remove(definition_path());
    ::mkfifo(definition_path().c_str(), 0600);
    EXPECT_THAT(damaged(), ElementsAre(HasSubstr("Invalid argument")));
    stdfs::remove(definition_path());
    write(definition_path(), std::string(2u << 20, ' '));
    EXPECT_THAT(damaged(), ElementsAre(HasSubstr("File too large")));
    EXPECT_TRUE(load().empty());
    EXPECT_TRUE(stdfs::exists(definition_path())) << "whoever can read it finds it";
}

TEST_F(StoreTest, a_directory_that_others_can_write_to_is_refused) {
    ::chmod((root + "/state/definitions").c_str(), 0777);
    EXPECT_NE(refusal().find("nobody else can write to"), std::string::npos) << refusal();
}

TEST_F(StoreTest, what_a_crash_left_half_written_is_removed) {
    write(definition_path() + ".tmp", "{\"ver");
    write(root + "/state/definitions/README", "not ours");
    EXPECT_TRUE(load().empty());
    EXPECT_FALSE(stdfs::exists(definition_path() + ".tmp"));
    EXPECT_TRUE(stdfs::exists(root + "/state/definitions/README"));
}

}  // namespace
}  // namespace uidnfs::plugins
