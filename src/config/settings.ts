/** All layers together: which value of an option holds, where it came from, and what became of it. */
import { ConfigurationError } from "../errors.ts";
import { strategyOfSpelling } from "./flink-keys.ts";
import { type Layer, type Origin, type Setting, said } from "./layers.ts";
import {
  isRestartDetail,
  jobOptions,
  type OptionKey,
  type OptionValue,
  optionKeys,
  restartOptionsOf,
} from "./options.ts";

/** One option as it holds in the end. */
export interface EffectiveOption {
  readonly key: OptionKey;
  /** The value in the smallest unit; null for "off", "unlimited" and an option that is not set. */
  readonly value: unknown;
  readonly unit?: "ms" | "bytes";
  /** The value as users write it. */
  readonly text: string;
  readonly origin: Origin;
  /** How it was spelt there, where that is not `key`. */
  readonly spelling?: string;
  /** What the user asked for, if the effective value is another one. */
  readonly asked?: string;
  readonly because?: string;
}

export class Settings {
  readonly warnings: string[] = [];
  /** The layers, lowest first. */
  readonly #layers: readonly Layer[];
  readonly #changed = new Map<OptionKey, { readonly value: unknown; readonly because: string }>();

  constructor(layers: readonly Layer[]) {
    this.#layers = withoutOverruledRestartOptions(layers);
  }

  /** The value that the highest layer sets, else the default. */
  get<K extends OptionKey>(key: K): OptionValue<K> {
    const setting = this.#setting(key);
    return (setting === undefined ? jobOptions[key].default : setting.value) as OptionValue<K>;
  }

  isSet(key: OptionKey): boolean {
    return this.#setting(key) !== undefined;
  }

  /** The number of the layer whose value holds; -1: no layer has one. */
  layerOf(key: OptionKey): number {
    return this.#layers.findLastIndex((layer) => layer.has(key));
  }

  /** Key and place of the value that holds, for messages. */
  said(key: OptionKey): string {
    const setting = this.#setting(key);
    return setting === undefined ? key : said(setting.entry);
  }

  refuse(key: OptionKey, problem: string): never {
    throw new ConfigurationError(key, `${this.said(key)}: ${problem}`);
  }

  warn(key: OptionKey, problem: string): void {
    this.warnings.push(`${this.said(key)}: ${problem}`);
  }

  /** Makes another value the effective one, without a warning. */
  adjust<K extends OptionKey>(key: K, value: OptionValue<K>, because: string): OptionValue<K> {
    if (value !== this.get(key)) this.#changed.set(key, { value, because });
    return value;
  }

  /** Does what `adjust` does, and warns the user, who asked for something else. */
  overrule<K extends OptionKey>(key: K, value: OptionValue<K>, because: string): OptionValue<K> {
    this.warn(key, `${text(key, this.get(key))} becomes ${text(key, value)}: ${because}`);
    return this.adjust(key, value, because);
  }

  refuseOptionsOfOtherStrategies(strategy: OptionValue<"restart.strategy">): void {
    const allowed = restartOptionsOf[strategy];
    for (const key of optionKeys) {
      const setting = this.#setting(key);
      if (!isRestartDetail(key) || setting === undefined) continue;
      // Flink has one spelling of `restart.delay` for each strategy.
      const owner = strategyOfSpelling(setting.entry.spelling) ?? strategy;
      if (allowed.includes(key) && owner === strategy) continue;
      const has = allowed.length === 0 ? "it has no options" : `it has ${allowed.join(", ")}`;
      this.refuse(key, `not an option of strategy "${strategy}"; ${has}`);
    }
  }

  /** Every option that holds; the other restart strategies' own do not. */
  effective(): EffectiveOption[] {
    const strategy = this.#changed.get("restart.strategy")?.value ?? this.get("restart.strategy");
    const applying = restartOptionsOf[strategy as OptionValue<"restart.strategy">];
    return optionKeys
      .filter((key) => !isRestartDetail(key) || applying.includes(key))
      .map((key) => this.#effectiveOption(key));
  }

  #effectiveOption(key: OptionKey): EffectiveOption {
    const { unit } = jobOptions[key];
    const entry = this.#setting(key)?.entry;
    const changed = this.#changed.get(key);
    const value = changed === undefined ? this.get(key) : changed.value;
    return {
      key,
      value: value ?? null,
      ...(unit === undefined ? {} : { unit }),
      text: text(key, value),
      origin: entry?.origin ?? { layer: "default" },
      ...(entry === undefined || entry.spelling === key ? {} : { spelling: entry.spelling }),
      ...(changed === undefined || entry === undefined ? {} : { asked: text(key, this.get(key)) }),
      ...(changed === undefined ? {} : { because: changed.because }),
    };
  }

  #setting(key: OptionKey): Setting | undefined {
    return this.#layers[this.layerOf(key)]?.get(key);
  }
}

function text(key: OptionKey, value: unknown): string {
  return jobOptions[key].format(value as never);
}

/** A layer that names another restart strategy than the ones below it does away with the options of theirs. */
function withoutOverruledRestartOptions(layers: readonly Layer[]): Layer[] {
  const kept: Layer[] = [];
  let strategy: unknown = jobOptions["restart.strategy"].default;
  for (const layer of layers) {
    const named = layer.get("restart.strategy")?.value ?? strategy;
    if (named !== strategy) {
      for (const [index, below] of kept.entries())
        kept[index] = new Map([...below].filter(([key]) => !isRestartDetail(key)));
    }
    strategy = named;
    kept.push(layer);
  }
  return kept;
}
