// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Sets of the numbers 0 to 255, one bit each.
library Bits {
    /// @notice The set of 0 to `size` - 1, for 1 to 256.
    function first(uint256 size) internal pure returns (uint256) {
        return type(uint256).max >> (256 - size);
    }

    function has(uint256 set, uint256 number) internal pure returns (bool) {
        return (set >> number) & 1 != 0;
    }

    /// @notice How many numbers are in the set.
    function count(uint256 set) internal pure returns (uint256 size) {
        for (; set != 0; set &= set - 1) {
            ++size; // each turn takes the lowest bit away
        }
    }
}
