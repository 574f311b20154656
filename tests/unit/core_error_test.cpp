// SPDX-License-Identifier: Apache-2.0
// Error, Failure and their texts.
#include "core/error.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <stdexcept>

namespace uidnfs::core {
namespace {

TEST(ErrorTest, TextNamesTheErrno) {
    EXPECT_EQ("ENOENT: No such file or directory", to_string(Error(ENOENT)));
}

TEST(ErrorTest, TextNamesTheLayerThatFoundIt) {
    EXPECT_EQ("EACCES: Permission denied (nfs 13)", to_string(Error(EACCES, ErrorSource::nfs, 13)));
    EXPECT_EQ(
        "EPROTO: Protocol error (protocol 0)", to_string(Error(EPROTO, ErrorSource::protocol))
    );
}

TEST(ErrorTest, UnknownErrnoHasATextToo) {
    EXPECT_EQ("E?: unknown error", to_string(Error(99999)));
}

TEST(ErrorTest, EverySourceHasItsOwnName) {
    EXPECT_EQ("local", to_string(ErrorSource::local));
    EXPECT_EQ("socket", to_string(ErrorSource::socket));
    EXPECT_EQ("rpc", to_string(ErrorSource::rpc));
    EXPECT_EQ("nfs", to_string(ErrorSource::nfs));
    EXPECT_EQ("mount", to_string(ErrorSource::mount));
    EXPECT_EQ("portmap", to_string(ErrorSource::portmap));
    EXPECT_EQ("protocol", to_string(ErrorSource::protocol));
}

TEST(ErrorTest, ErrorsAreEqualWhenAllOfThemIs) {
    EXPECT_EQ(Error(EIO, ErrorSource::nfs, 5), Error(EIO, ErrorSource::nfs, 5));
    EXPECT_NE(Error(EIO, ErrorSource::nfs, 5), Error(EIO, ErrorSource::nfs, 6));
    EXPECT_NE(Error(EIO, ErrorSource::nfs, 5), Error(EIO, ErrorSource::rpc, 5));
}

TEST(ErrorTest, ValueOfAFailureThrowsItsText) {
    const Result<int> result = Error(EIO);
    const Outcome<std::string> outcome = Failure{EIO, "cannot do it: no; try again"};
    try {
        (void)result.value();
        ADD_FAILURE();
    } catch (const std::runtime_error& error) {
        EXPECT_STREQ("EIO: Input/output error", error.what());
    }
    try {
        (void)outcome.value();
        ADD_FAILURE();
    } catch (const std::runtime_error& error) {
        EXPECT_STREQ("cannot do it: no; try again", error.what());
    }
}

}  // namespace
}  // namespace uidnfs::core
