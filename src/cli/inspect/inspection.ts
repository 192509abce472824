/** What an inspection finds. */

export interface Problem {
  readonly position: number
  readonly reason: string
  /** Offsets that cannot be read, where the damage has some. */
  readonly from?: number
  readonly to?: number
}

export interface Inspection {
  /** One JSON document: `kind`, `file`, `length` and what the kind has to say. */
  readonly report: Readonly<Record<string, unknown>>
  readonly problems: readonly Problem[]
}

export interface CommonFacts {
  readonly file: string
  readonly length: number
  readonly sha256: string
}
