/**
 * The look at msgpack before it is decoded: what its headers announce is there, and what it becomes is no more than its
 * bytes may cost.
 *
 * Owns: the walk. Does not own: decoding (codec.ts). The bytes may come from anywhere.
 *
 * - UW1 Bytes that pass are one value, whole, of the kinds that `encodeValue` writes, nested at most DEPTH_MAX deep.
 * - UW2 The value takes at most COST_FACTOR times the bytes and COST_FREE_BYTES of memory. One byte may become an empty
 *   map of 200, and a header of five bytes announce four billion elements.
 * - UW3 The walk itself takes no memory that grows with the bytes, but for the shapes that they define.
 */

/** A user's value has at most 512 (state/plain-value.ts), what we put around it far less than the rest. */
const DEPTH_MAX = 640;
const COST_FACTOR = 10;
/** Small messages may be as dense as they like. */
const COST_FREE_BYTES = 16 * 1024 * 1024;

/** What a value of a kind costs in memory, measured with Node 20. */
const COST = {
  slot: 8,
  number: 16,
  string: 24,
  object: 64,
  buffer: 200,
  collection: 200,
  error: 800,
  shape: 600,
};

const EXTENSION = {
  nothing: 0x00,
  bigint: 0x42,
  error: 0x65,
  shape: 0x72,
  set: 0x73,
  view: 0x74,
  regexp: 0x78,
  date: 0xff,
} as const;

interface Shape {
  readonly fields: number;
  readonly highByte: number | undefined;
}

/** @throws Error when `bytes` are not such a value */
export function refuseUnsound(bytes: Uint8Array): void {
  new Walk(bytes).run();
}

class Walk {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #shapes = new Map<number, Shape>();
  readonly #costMax: number;
  #cost = 0;
  #at = 0;
  /** How many values are still to come on each level. */
  readonly #open: number[] = [1];

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#costMax = COST_FACTOR * bytes.length + COST_FREE_BYTES;
  }

  run(): void {
    const open = this.#open;
    while (open.length > 0) {
      const last = open.length - 1;
      if (open[last] === 0) {
        open.pop();
      } else {
        open[last]!--;
        this.#value();
      }
    }
    if (this.#at !== this.#bytes.length) throw new Error(`msgpack ends at byte ${this.#at}`);
  }

  #value(): void {
    const at = this.#at;
    const token = this.#uint(1);
    if (token < 0x40 || token >= 0xe0) return;
    if (token < 0x80) this.#record(token);
    else if (token < 0x90) this.#map(token - 0x80);
    else if (token < 0xa0) this.#array(token - 0x90);
    else if (token < 0xc0) this.#skip(token - 0xa0, COST.string);
    else this.#long(token, at);
  }

  /** What is announced by a token of its own. */
  #long(token: number, at: number): void {
    switch (token) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        break;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        this.#skip(this.#uint(1 << (token - 0xc4)), COST.buffer);
        break;
      case 0xc7:
      case 0xc8:
      case 0xc9:
        this.#extension(this.#uint(1 << (token - 0xc7)));
        break;
      case 0xca:
        this.#skip(4, COST.number);
        break;
      case 0xcb:
        this.#skip(8, COST.number);
        break;
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf:
        this.#skip(1 << (token - 0xcc), COST.number);
        break;
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3:
        this.#skip(1 << (token - 0xd0), COST.number);
        break;
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        this.#extension(1 << (token - 0xd4));
        break;
      case 0xd9:
      case 0xda:
      case 0xdb:
        this.#skip(this.#uint(1 << (token - 0xd9)), COST.string);
        break;
      case 0xdc:
      case 0xdd:
        this.#array(this.#uint(2 << (token - 0xdc)));
        break;
      case 0xde:
      case 0xdf:
        this.#map(this.#uint(2 << (token - 0xde)));
        break;
      default:
        throw new Error(`no msgpack: token ${token} at byte ${at}`);
    }
  }

  #array(length: number): void {
    this.#enter(length, COST.object + length * COST.slot);
  }

  #map(entries: number): void {
    this.#enter(2 * entries, COST.collection + 4 * entries * COST.slot);
  }

  /** Without its shape the token is a small number. */
  #record(token: number): void {
    const id = token & 0x3f;
    let shape = this.#shapes.get(id);
    if (shape?.highByte === 0) {
      const highByte = this.#uint(1);
      if (highByte !== 0) shape = this.#shapes.get(wideId(id, highByte));
      if (shape === undefined) throw new Error(`no msgpack: a record without its shape at byte ${this.#at}`);
    }
    if (shape !== undefined) this.#enter(shape.fields, COST.object + shape.fields * COST.slot);
  }

  #extension(length: number): void {
    const type = this.#uint(1);
    switch (type) {
      case EXTENSION.shape:
        this.#fit(length <= 2);
        this.#define(this.#uint(1) & 0x3f, length === 2 ? this.#uint(1) : undefined);
        break;
      case EXTENSION.set:
      case EXTENSION.regexp:
      case EXTENSION.error:
        // What they are made of follows.
        this.#fit(length === 1);
        this.#skip(1, type === EXTENSION.error ? COST.error : COST.collection);
        this.#enter(1, 0);
        break;
      case EXTENSION.nothing:
      case EXTENSION.date:
      case EXTENSION.bigint:
      case EXTENSION.view:
        this.#skip(length, COST.buffer);
        break;
      default:
        this.#fit(false);
    }
  }

  #fit(fits: boolean): void {
    if (!fits) throw new Error(`no msgpack of ours: an unknown extension at byte ${this.#at}`);
  }

  /** The names of the fields, then the first record of that shape. */
  #define(id: number, highByte: number | undefined): void {
    const token = this.#uint(1);
    let fields = token - 0x90;
    if (token === 0xdc) fields = this.#uint(2);
    else if (token === 0xdd) fields = this.#uint(4);
    else if (fields < 0 || fields > 15)
      throw new Error(`no msgpack: a shape without names at byte ${this.#at}`);
    this.#charge(COST.shape + fields * COST.string);
    for (let i = 0; i < fields; i++) this.#name();
    this.#shapes.set(highByte === undefined ? id : wideId(id, highByte), { fields, highByte });
    this.#enter(fields, COST.object + fields * COST.slot);
  }

  #name(): void {
    const token = this.#uint(1);
    if (token >= 0xa0 && token < 0xc0) this.#skip(token - 0xa0, COST.string);
    else if (token >= 0xd9 && token <= 0xdb) this.#skip(this.#uint(1 << (token - 0xd9)), COST.string);
    else throw new Error(`no msgpack: no name of a field at byte ${this.#at}`);
  }

  #enter(values: number, cost: number): void {
    this.#charge(cost);
    if (values > this.#bytes.length - this.#at)
      throw new Error(`msgpack announces ${values} values at its end`);
    if (this.#open.push(values) > DEPTH_MAX) throw new Error(`msgpack is nested more than ${DEPTH_MAX} deep`);
  }

  /** `cost`: beside that of the bytes themselves, a byte of which may be two of the value. */
  #skip(bytes: number, cost: number): void {
    this.#charge(cost + 2 * bytes);
    this.#at += bytes;
    if (this.#at > this.#bytes.length) throw new Error("msgpack ends in the middle of a value");
  }

  #charge(cost: number): void {
    this.#cost += cost;
    if (this.#cost > this.#costMax)
      throw new Error(
        `${this.#bytes.length} bytes of msgpack would take more than ${this.#costMax} of memory`,
      );
  }

  #uint(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at > this.#bytes.length) throw new Error("msgpack ends in the middle of a value");
    if (bytes === 1) return this.#bytes[at]!;
    return bytes === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }
}

/** Where msgpackr keeps the shape of an id of two bytes. */
function wideId(id: number, highByte: number): number {
  return id < 32 ? -((highByte << 5) + id) : (highByte << 5) + id;
}
