// Unmodified viem on the BTTC devnet. Prints one line of JSON with what it saw.

import {
  createPublicClient,
  createTestClient,
  createWalletClient,
  defineChain,
  http,
  keccak256,
  parseEther,
  webSocket,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";

import { artifact, devnet, failure, gate, tell } from "./devnet.mjs";

const COIN = parseEther("1");
const MANY = 40;

const chain = defineChain({
  id: devnet.chain_id,
  name: "BTTC devnet",
  nativeCurrency: { name: "BitTorrent", symbol: "BTT", decimals: 18 },
  rpcUrls: { default: { http: [devnet.url] } },
});
const [alice, bob] = devnet.keys.map((key) => privateKeyToAccount(key));
const quick = { chain, pollingInterval: 25, cacheTime: 0 };
const client = createPublicClient({ ...quick, transport: http(devnet.url, { batch: true }) });
const socket = createPublicClient({ ...quick, transport: webSocket(devnet.url.replace("http", "ws")) });
const wallet = createWalletClient({ ...quick, account: alice, transport: http(devnet.url) });
const hand = createTestClient({ ...quick, mode: "anvil", transport: http(devnet.url) });
await client.request({ method: "bttnode_faucet", params: [alice.address] });
const facts = {};
const mined = (hash) => client.waitForTransactionReceipt({ hash });

// who is there, and what it costs
facts.network = await client.getChainId();
facts.price = await client.getGasPrice();
facts.fees = (await failure(client.estimateFeesPerGas())).name;
const prepared = await wallet.prepareTransactionRequest({ to: bob.address, value: 1n });
facts.prepared = [prepared.type, prepared.gasPrice];

// deploy and call
const { abi, bytecode } = artifact("TestBTT");
const deployed = await mined(await wallet.deployContract({ abi, bytecode, args: ["Another", "ANO"] }));
const address = deployed.contractAddress;
const token = { address, abi };
const vault = { address: devnet.vault, abi: artifact("ChequeVault").abi };
facts.symbol = await client.readContract({ ...token, functionName: "symbol" });
facts.code = (await client.getCode({ address })) === artifact("TestBTT").deployedBytecode;

// events: asked for, by filter, and by subscription
const heard = { filter: [], socket: [], blocks: [], pending: [] };
const listened = gate(() => Object.values(heard).every((list) => list.length >= 2));
const listen = (list) => (items) => {
  list.push(...[items].flat());
  listened.check();
};
const values = (list) => (logs) => listen(list)(logs.map((log) => log.args.value));
const transfers = { ...token, eventName: "Transfer" };
const kept = await client.createContractEventFilter(transfers);
const stops = [
  client.watchContractEvent({ ...transfers, poll: true, onLogs: values(heard.filter) }),
  socket.watchContractEvent({ ...transfers, onLogs: values(heard.socket) }),
  socket.watchBlockNumber({ onBlockNumber: listen(heard.blocks) }),
  socket.watchPendingTransactions({ onTransactions: listen(heard.pending) }),
];
await socket.getBlockNumber(); // the subscriptions went out before this
const call = (contract, functionName, args) => wallet.writeContract({ ...contract, functionName, args });
const minted = await mined(await call(token, "mint", [alice.address, 5n * COIN]));
const moved = await mined(await call(token, "transfer", [bob.address, 2n * COIN]));
await listened.opened;
facts.heard = heard;
facts.sent = [minted.transactionHash, moved.transactionHash];
facts.kept = (await client.getFilterChanges({ filter: kept })).map((log) => log.args.value);
facts.keptAll = (await client.getFilterLogs({ filter: kept })).length;
facts.uninstalled = await client.uninstallFilter({ filter: kept });
facts.gone = (await failure(client.getFilterChanges({ filter: kept }))).details;
facts.logs = (await client.getLogs({ address, blockHash: moved.blockHash })).length;
stops.forEach((stop) => stop());

// reasons
const refused = async (contract, functionName, args) => {
  const error = await failure(client.simulateContract({ ...contract, functionName, args, account: alice }));
  return error.walk((cause) => cause.name === "ContractFunctionRevertedError").data;
};
const nothing = await refused(vault, "giveNotice", [1n]);
const short = await refused(token, "transfer", [bob.address, 100n * COIN]);
const failed = await mined(await wallet.writeContract({ ...vault, functionName: "cancelNotice", gas: 100_000n }));
facts.reasons = { nothing: nothing.errorName, short: [short.errorName, short.args[2]], inBlock: failed.status };

// many at once, as raw bytes in one batch: the nonces arrive in order
const first = await client.getTransactionCount({ address: alice.address });
const payment = await wallet.prepareTransactionRequest({ to: bob.address, value: COIN, gas: 21_000n });
const signed = await Promise.all(
  Array.from({ length: MANY }, (_, i) => wallet.signTransaction({ ...payment, nonce: first + i })),
);
const many = await Promise.all(signed.map((raw) => client.sendRawTransaction({ serializedTransaction: raw })));
const receipts = await Promise.all(many.map(mined));
facts.many = [receipts.filter((receipt) => receipt.status === "success").length, receipts[0].type];
facts.balance = await client.getBalance({ address: bob.address });
const whole = await client.getBlock({ blockHash: receipts[0].blockHash, includeTransactions: true });
const indexed = await client.getTransaction({ blockHash: receipts[0].blockHash, index: 0 });
facts.whole = [whole.transactions[0].hash === many[0], indexed.hash === many[0]];
facts.counted = await client.getBlockTransactionCount({ blockHash: receipts[0].blockHash });

// raw bytes that wait, and are dropped
await hand.setAutomine(false);
const request = await wallet.prepareTransactionRequest({ to: bob.address, gas: 21_000n });
const hash = await client.sendRawTransaction({ serializedTransaction: await wallet.signTransaction(request) });
const waiting = await client.getTransaction({ hash });
await hand.dropTransaction({ hash });
facts.dropped = [waiting.blockHash, (await failure(client.getTransaction({ hash }))).name];
await hand.setAutomine(true);

// the chain by hand
const snapshot = await hand.snapshot();
const before = await client.getBlock();
await hand.setBalance({ address: bob.address, value: 7n });
await hand.setNonce({ address: bob.address, nonce: 9 });
await hand.setCode({ address: bob.address, bytecode: "0x60015f" });
await hand.setStorageAt({ address: bob.address, index: 2, value: keccak256("0x") });
facts.set = {
  balance: await client.getBalance({ address: bob.address }),
  nonce: await client.getTransactionCount({ address: bob.address }),
  code: await client.getCode({ address: bob.address }),
  storage: (await client.getStorageAt({ address: bob.address, slot: "0x2" })) === keccak256("0x"),
};
await hand.increaseTime({ seconds: 1000 });
await hand.mine({ blocks: 3, interval: 10 });
const after = await client.getBlock();
facts.time = [after.number - before.number, after.timestamp - before.timestamp >= 1020n];

// back in time: the subscription takes its logs back
const removed = [];
const undone = gate(() => removed.includes(true));
socket.watchContractEvent({
  ...transfers,
  onLogs: (logs) => {
    removed.push(...logs.map((log) => log.removed));
    undone.check();
  },
});
await socket.getBlockNumber();
await mined(await call(token, "transfer", [bob.address, 1n]));
await hand.revert({ id: snapshot });
await undone.opened;
facts.undone = [removed, (await client.getBlockNumber()) === before.number];

// what this chain does not have
facts.absent = [
  (await failure(client.getFeeHistory({ blockCount: 1, rewardPercentiles: [] }))).name,
  (await failure(client.getProof({ address, storageKeys: [] }))).details,
];

tell(facts);
(await socket.transport.getRpcClient()).close();
