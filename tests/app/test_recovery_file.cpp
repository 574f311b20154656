// SPDX-License-Identifier: Apache-2.0
#include "app/recovery_file.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace uidnfs::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace files = std::filesystem;

class RecoveryFileTest : public testing::Test {
protected:
    RecoveryFileTest() {
        std::string name = (files::temp_directory_path() / "recovery-XXXXXX").string();
        directory = ::mkdtemp(name.data());
    }
    ~RecoveryFileTest() override { files::remove_all(directory); }

    static std::span<const std::byte> bytes_of(std::string_view text) {
        return std::as_bytes(std::span(text));
    }
    static Recovery example() {
        Recovery recovery{
            "nas1:/exports/a", {"uid=1001", "ro"}, "/mnt\n", "2026-01-31T12:00:00Z", {}};
        RecoveryEntry entry{
            "a/b \"c\" caf\xe9", ~0ull, {std::byte{0}, std::byte{0xff}}, ~0ull - 1, {}};
        entry.ranges.push_back({7, 6, {1001, 1002, {5, 6}}, {bytes_of("abc"), bytes_of("def")}});
        entry.ranges.push_back({~0ull >> 1, 1, {0, 0, {}}, {bytes_of("g")}});
        recovery.entries.push_back(entry);
        entry = {"", 2, {std::byte{1}}, 0, {}};
        entry.ranges.push_back({0, 2, {1, 1, {}}, {bytes_of("hi")}});
        recovery.entries.push_back(entry);
        return recovery;
    }
    std::string write(const Recovery& recovery) {
        auto file = NewRecoveryFile::create(directory, "x.recovery");
        EXPECT_TRUE(file);
        EXPECT_TRUE(write_recovery(file->fd(), recovery));
        const auto path = file->keep();
        EXPECT_TRUE(path);
        return *path;
    }
    static std::string text_of(const RecoveryRange& range) {
        std::string text;
        for (const auto& piece : range.pieces) {
            text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        }
        return text;
    }
    std::vector<std::string> names() const {
        std::vector<std::string> out;
        for (const auto& entry : files::directory_iterator(directory)) {
            out.push_back(entry.path().filename());
        }
        return out;
    }

    std::string directory;
};

TEST_F(RecoveryFileTest, SaysThatItWasTakenFromADamagedState) {
    auto recovery = example();
    recovery.damage = "the counters are out of range";
    const auto file = RecoveryFile::open(write(recovery));
    ASSERT_TRUE(file) << file.error().user_text;
    EXPECT_EQ(file->contents().damage, recovery.damage);
    EXPECT_EQ(file->contents().bytes(), 9u);
}

TEST_F(RecoveryFileTest, OneThatIsNotThereIsAnsweredWithWhereThoseAre) {
    const auto file = RecoveryFile::open(directory + "/none.recovery");
    ASSERT_FALSE(file);
    EXPECT_EQ(
        file.error().user_text,
        "cannot recover " + directory +
            "/none.recovery: there is no such file; what mounts could not write is in " +
            default_recovery_directory() + ", where none was chosen for them"
    );
}

TEST_F(RecoveryFileTest, APipeIsNotWaitedFor) {
    const auto path = directory + "/pipe";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    const auto file = RecoveryFile::open(path);
    ASSERT_FALSE(file);
    EXPECT_THAT(file.error().user_text, testing::EndsWith("it is not a regular file"));
}

TEST_F(RecoveryFileTest, ComesBackAsItWasWritten) {
    const auto file = RecoveryFile::open(write(example()));
    ASSERT_TRUE(file) << file.error().user_text;
    const auto& found = file->contents();
    EXPECT_EQ(found.source, "nas1:/exports/a");
    EXPECT_THAT(found.options, ElementsAre("uid=1001", "ro"));
    EXPECT_EQ(found.mountpoint, "/mnt\n");
    EXPECT_EQ(found.bytes(), 9u);
    ASSERT_EQ(found.entries.size(), 2u);
    const auto& entry = found.entries[0];
    EXPECT_EQ(entry.path, "a/b \"c\" caf\xe9");  // bytes
    EXPECT_EQ(entry.fileid, ~0ull);
    EXPECT_EQ(entry.ctime, ~0ull - 1);
    EXPECT_THAT(entry.handle, ElementsAre(std::byte{0}, std::byte{0xff}));
    ASSERT_EQ(entry.ranges.size(), 2u);
    EXPECT_EQ(entry.ranges[0].identity, (RecoveryIdentity{1001, 1002, {5, 6}}));
    EXPECT_EQ(text_of(entry.ranges[0]), "abcdef");
    EXPECT_EQ(entry.ranges[1].offset, ~0ull >> 1);
    EXPECT_EQ(text_of(entry.ranges[1]), "g");
    EXPECT_EQ(text_of(found.entries[1].ranges[0]), "hi");
    EXPECT_EQ(found.entries[1].describe(), "a file without a name (fileid 2)");
}

TEST_F(RecoveryFileTest, WhatIsChangedOrMissingIsSeen) {
    const auto path = write(example());
    std::ifstream in(path, std::ios::binary);
    const std::string whole((std::istreambuf_iterator<char>(in)), {});
    for (std::size_t i = 0; i < whole.size(); i += 3) {
        auto changed = whole;
        changed[i] = static_cast<char>(changed[i] ^ 1);
        std::ofstream(path, std::ios::binary) << changed;
        EXPECT_FALSE(RecoveryFile::open(path)) << "byte " << i;
    }
    for (std::size_t size = 0; size < whole.size(); size += 5) {
        std::ofstream(path, std::ios::binary) << whole.substr(0, size);
        EXPECT_FALSE(RecoveryFile::open(path)) << size << " bytes";
    }
}

TEST_F(RecoveryFileTest, HasItsNameOnlyOnceItIsComplete) {
    {
        auto file = NewRecoveryFile::create(directory, "x.recovery");
        ASSERT_TRUE(file);
        EXPECT_THAT(names(), ElementsAre(".x.recovery.new"));
        struct stat st {};
        ASSERT_EQ(0, ::fstat(file->fd(), &st));
        EXPECT_EQ(st.st_mode & 07777, 0600u);
    }
    EXPECT_THAT(names(), ElementsAre());
    write(example());
    EXPECT_THAT(names(), ElementsAre("x.recovery"));
}

TEST_F(RecoveryFileTest, TwoOfOneNameAreBothKept) {
    // Keepers of two containers with one directory: the same process id, the same second.
    auto first = NewRecoveryFile::create(directory, "x.recovery");
    auto second = NewRecoveryFile::create(directory, "x.recovery");
    ASSERT_TRUE(first && second);
    EXPECT_EQ(*first->keep(), directory + "/x.recovery");
    auto third = NewRecoveryFile::create(directory, "x.recovery");
    ASSERT_TRUE(third);
    EXPECT_EQ(*third->keep(), directory + "/x-3.recovery");
    EXPECT_EQ(*second->keep(), directory + "/x-2.recovery");
    EXPECT_THAT(names(), ElementsAre("x-2.recovery", "x-3.recovery", "x.recovery"));
}

TEST_F(RecoveryFileTest, DirectoriesThatAreMissingAreMade) {
    const auto deep = directory + "/a/b/c";
    ASSERT_TRUE(NewRecoveryFile::create(deep, "x"));
    struct stat st {};
    ASSERT_EQ(0, ::stat(deep.c_str(), &st));
    EXPECT_EQ(st.st_mode & 07777, 0700u);
}

TEST_F(RecoveryFileTest, ADirectoryThatOthersMayChangeIsRefused) {
    ASSERT_EQ(0, ::chmod(directory.c_str(), 0777));
    EXPECT_EQ(NewRecoveryFile::create(directory, "x").error().code, EPERM);
    ASSERT_EQ(0, ::chmod(directory.c_str(), 0700));
    const auto link = directory + "/link";
    ASSERT_EQ(0, ::symlink("/tmp", link.c_str()));
    EXPECT_FALSE(NewRecoveryFile::create(link, "x"));
}

TEST_F(RecoveryFileTest, AFullDiskIsAnErrorOfTheWriter) {
    const core::Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(full);
    const auto written = write_recovery(full.get(), example());
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code(), ENOSPC);
}

TEST_F(RecoveryFileTest, ThoseOfAMountPointAreFoundByTheirNames) {
    const std::string earlier = "mnt-a-2026-01-30T12:00:00Z-9.recovery";
    const auto later = recovery_name("/mnt/a", "2026-01-31T12:00:00Z", 7);
    for (const auto& name :
         {later,
          earlier,
          recovery_name("/mnt/a/2026-01", "2026-01-31T12:00:00Z", 7),
          recovery_name("/mnt/ab", "2026-01-31T12:00:00Z", 7),
          "." + later + ".new",
          std::string("mnt-a-.recovery")}) {
        std::ofstream(directory + "/" + name);
    }
    EXPECT_THAT(
        recovery_files_of(directory, "/mnt/a"),
        ElementsAre(directory + "/" + earlier, directory + "/" + later)
    );
    EXPECT_THAT(recovery_files_of(directory + "/none", "/mnt/a"), ElementsAre());
}

TEST(RecoveryName, HasNothingOfAPathInIt) {
    EXPECT_EQ(
        recovery_name("/mnt/../a b", "2026-01-31T12:00:00Z", 7),
        "mnt-..-a-b-2026-01-31T12:00:00Z-7.recovery"
    );
    EXPECT_EQ(recovery_name(std::string(300, 'x'), "w", 7).size(), 100u + 13);
}

}  // namespace
}  // namespace uidnfs::app
