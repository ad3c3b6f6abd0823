// The project's devnet as an ordinary network; nothing is compiled here.
require("@nomicfoundation/hardhat-ethers");

module.exports = {
  defaultNetwork: "bttc",
  networks: {
    bttc: { url: process.env.DEVNET_URL, chainId: 199, accounts: [process.env.DEVNET_KEY] },
  },
};
