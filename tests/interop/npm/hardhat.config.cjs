// The devnet as an ordinary network; nothing is compiled here.
require("@nomicfoundation/hardhat-ethers");

const { url, chain_id: chainId, keys } = JSON.parse(process.env.DEVNET);

module.exports = { defaultNetwork: "bttc", networks: { bttc: { url, chainId, accounts: keys } } };
