// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Does this block stand at this place of a file of BitTorrent v2 (BEP 52)?
///
/// @dev The file's root is over SHA-256 of its blocks of 16 KiB, the last one as short as it is; leaves beyond the last
/// block are 32 zero bytes, up to the next power of two; a parent is SHA-256 of its children side by side. Depth and
/// the block's length follow from the file's length, so that an inner node can never pass for a block.
library Bep52 {
    uint256 internal constant BLOCK = 16_384;

    /// @notice Blocks of a file of `length` bytes.
    function blocks(uint256 length) internal pure returns (uint256) {
        return (length + BLOCK - 1) / BLOCK;
    }

    /// @param index which block, from 0; `path` its siblings from the leaf upwards.
    function holds(bytes32 root, uint256 length, uint256 index, bytes calldata data, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        uint256 count = blocks(length);
        if (index >= count || data.length != (index + 1 == count ? length - index * BLOCK : BLOCK)) return false;
        uint256 depth = path.length;
        // The tree's width is the least power of two that is not less than `count`.
        if (depth > 64 || 1 << depth < count || (depth != 0 && 1 << (depth - 1) >= count)) return false;
        bytes32 node = sha256(data);
        for (uint256 level = 0; level < depth; ++level) {
            node = (index >> level) & 1 == 0
                ? sha256(bytes.concat(node, path[level]))
                : sha256(bytes.concat(path[level], node));
        }
        return node == root;
    }
}
