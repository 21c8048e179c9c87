/**
 * The part of an order that lies in the store.
 *
 * Layout of an address, big endian, so that rows are in the order of their entries: u32 number of the order | u64 time
 * | u32 key group | f64 ordinal. Times are the bits of an f64: those of one that is not negative with the first bit
 * set, all others the other way round. The row is the names of the key and the namespace, as row-key.ts writes them.
 */
import type { RowKeyWriter } from "../store/row-key.ts";
import { namesIn, PREFIX_BYTES } from "../store/row-key.ts";
import type { RowStore } from "../store/row-store.ts";
import type { Entry, Place } from "./entry.ts";

const TIME_AT = 4;
const GROUP_AT = 12;
const ORDINAL_AT = 16;
const ADDRESS_BYTES = 24;

export class OrderRows {
  private readonly store: RowStore;
  private readonly keys: RowKeyWriter;
  private readonly number: number;
  private readonly address = Buffer.alloc(ADDRESS_BYTES);
  private readonly from: Uint8Array;
  private readonly to: Uint8Array;

  /** @param number no other order or shelf of the store ever has it */
  constructor(store: RowStore, keys: RowKeyWriter, number: number) {
    this.store = store;
    this.keys = keys;
    this.number = number;
    this.from = Uint8Array.from(keys.bound(0, number, 0));
    this.to = Uint8Array.from(keys.bound(0, number + 1, 0));
  }

  /** @throws EnvironmentError */
  write(added: Iterable<Entry>, removed: Iterable<Place>): void {
    const { store, keys } = this;
    store.transaction(() => {
      for (const place of removed) store.remove(this.addressOf(place));
      for (const entry of added) {
        const names = keys.write(0, 0, entry.key, entry.namespace);
        store.put(this.addressOf(entry), keys.longNames ?? names.subarray(PREFIX_BYTES));
      }
    });
  }

  /** The first ones, in order, at most so many. */
  first(most: number): Entry[] {
    const found: Entry[] = [];
    this.store.range(this.from, this.to, most, (address, names) =>
      found.push({ ...placeIn(address), ...namesIn(names, 0) }),
    );
    return found;
  }

  private addressOf({ time, group, ordinal }: Place): Uint8Array {
    const { address } = this;
    address.writeUInt32BE(this.number, 0);
    address.writeDoubleBE(time, TIME_AT);
    turnOver(address, address[TIME_AT]! < 128 ? FIRST_BIT : ALL_BITS);
    address.writeUInt32BE(group, GROUP_AT);
    address.writeDoubleBE(ordinal, ORDINAL_AT);
    return address;
  }
}

const FIRST_BIT = 0x80;
const ALL_BITS = 0xff;

/** Changes the bits of the time. */
function turnOver(address: Uint8Array, which: number): void {
  if (which === FIRST_BIT) address[TIME_AT]! ^= FIRST_BIT;
  else for (let at = TIME_AT; at < GROUP_AT; at++) address[at]! ^= ALL_BITS;
}

function placeIn(address: Uint8Array): Place {
  const bytes = Buffer.from(address);
  const group = bytes.readUInt32BE(GROUP_AT);
  const ordinal = bytes.readDoubleBE(ORDINAL_AT);
  turnOver(bytes, bytes[TIME_AT]! >= 128 ? FIRST_BIT : ALL_BITS);
  return { time: bytes.readDoubleBE(TIME_AT), group, ordinal };
}
