// What every script here is given: the devnet's addresses and compiled contracts, as JSON in the environment.

import { readFileSync } from "node:fs";

export const devnet = JSON.parse(process.env.DEVNET);

export const artifact = (name) => JSON.parse(readFileSync(`${devnet.artifacts}/${name}.json`, "utf8"));

// Contract code that gives back `bytes` (hex) as the reason for which it reverts.
export const reverting = (bytes) => {
  const size = (bytes.length / 2).toString(16).padStart(2, "0");
  if (size.length > 2) throw new Error("at most 255 bytes");
  return `0x60${size}600c60003960${size}6000fd${bytes}`;
};

// The error with which something fails that must.
export const failure = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("this should have failed");
};

// Resolves once `condition` holds; asked after every event that may make it true.
export const gate = (condition) => {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { opened, check: () => condition() && open() };
};

// The story's facts, for the test to judge.
export const tell = (facts) =>
  console.log(JSON.stringify(facts, (_, value) => (typeof value === "bigint" ? value.toString() : value)));
