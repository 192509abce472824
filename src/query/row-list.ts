/** Rows of a block and the group of each, in memory that is used again. */
export class RowList {
  readonly rows: Int32Array
  readonly groups: Uint16Array
  count = 0

  constructor(capacity: number) {
    this.rows = new Int32Array(capacity)
    this.groups = new Uint16Array(capacity)
  }

  get capacity(): number {
    return this.rows.length
  }

  /** The `count` rows from `start` on, of whatever groups. */
  fill(start: number, count: number): void {
    const { rows } = this
    for (let at = 0; at < count; at++) rows[at] = start + at
    this.count = count
  }

  /** Those of another list that have a value. */
  takeValid({ rows, groups, count }: RowList, validity: Uint8Array | null): void {
    const [ownRows, ownGroups] = [this.rows, this.groups]
    let kept = 0
    for (let at = 0; at < count; at++) {
      const row = rows[at] ?? 0
      ownRows[kept] = row
      ownGroups[kept] = groups[at] ?? 0
      kept += validity === null ? 1 : ((validity[row >> 3] ?? 0) >> (row & 7)) & 1
    }
    this.count = kept
  }
}
