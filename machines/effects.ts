/**
 * How machines declare effects: named, parameterised actions with no body. A machine only names what should happen;
 * the host does it. `E` maps an effect's name to its parameters.
 */

export type EffectBodies<E> = { [K in keyof E]: (_: unknown, params: E[K]) => void };

function effect(): void {}

export function declareEffects<E>(names: { readonly [K in keyof E & string]: true }): EffectBodies<E> {
  return Object.fromEntries(Object.keys(names).map((name) => [name, effect])) as unknown as EffectBodies<E>;
}
