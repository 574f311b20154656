// SPDX-License-Identifier: Apache-2.0
// The names of src/control and src/core that this room uses as its own.
#pragma once

#include "control/channel.hpp"
#include "control/message.hpp"
#include "control/mountinfo.hpp"
#include "control/socket.hpp"
#include "control/spawn.hpp"
#include "core/text.hpp"

namespace uidnfs::app {

using control::Address;
using control::all_keepers;
using control::ask_keeper;
using control::Channel;
using control::Child;
using control::control_directories;
using control::control_path;
using control::ControlSocket;
using control::credentials_of;
using control::descriptor_fact;
using control::find_below;
using control::find_by_id;
using control::find_by_minor;
using control::find_by_path;
using control::is_ours;
using control::kChannelDescriptor;
using control::kFilesystemType;
using control::Message;
using control::MountEntry;
using control::Output;
using control::parse_mountinfo;
using control::read_mountinfo;
using control::send_to_keeper;
using control::spawn_self;
using control::spawn_version;
using core::describe_errno;
using core::human_bytes;
using core::printable;
using core::read_whole;
using core::utc_time;

}  // namespace uidnfs::app
