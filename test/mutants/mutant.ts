/** A bug that is planted into the source, and what catches it. */

export interface Mutant {
  readonly name: string
  /** What a user would lose, in a sentence. */
  readonly harm: string
  /** Below `src`. */
  readonly file: string
  /** A text that is there once. */
  readonly find: string
  readonly replace: string
  readonly killedBy: Killer
}

/** A seed of the simulator; or a file of tests, one of which has to fail. */
export type Killer =
  | { readonly harness: 'simulate'; readonly seed: number }
  | { readonly harness: 'test'; readonly file: string; readonly name?: string }
