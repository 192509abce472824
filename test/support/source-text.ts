/**
 * Just enough of a TypeScript reader for the tidy test. TypeScript 7 has no JavaScript API and the rules need only two
 * views of a file: without comments, and without comments and the contents of texts. Both keep every line and column
 * where it was, so that a finding can name its line.
 */

export interface SourceFile {
  /** From the root of the repository, with forward slashes: `src/log/wal.ts`. */
  readonly path: string
  readonly text: string
}

export interface ImportedModule {
  readonly specifier: string
  /** True when nothing of the import is left at run time. */
  readonly typeOnly: boolean
  readonly line: number
}

/** The file with its comments blanked. */
export function withoutComments(text: string): string {
  return blank(text, (kind) => kind === 'comment')
}

/** The file with its comments and the contents of its strings, templates and regular expressions blanked. */
export function codeOnly(text: string): string {
  return blank(text, () => true)
}

export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}

const STATIC_IMPORT =
  /^[ \t]*(?:import|export)\s+(type\s+)?([^'"`;=()]*?)\bfrom\s*['"]([^'"]+)['"]/gm
const BARE_IMPORT = /^[ \t]*import\s*['"]([^'"]+)['"]/gm
const DYNAMIC_IMPORT = /\bimport\s*\(\s*['"]([^'"]+)['"]\s*\)(\s*\.\s*[A-Z]\w*)?/g
const WORKER_URL = /\bnew\s+URL\(\s*['"](\.[^'"]+\.[jt]s)['"]\s*,\s*import\.meta\.url/g

/** Every module a file names: static, dynamic, type queries and worker entry files. */
export function importsOf(text: string): ImportedModule[] {
  const source = withoutComments(text)
  const found: ImportedModule[] = []
  const add = (specifier: string | undefined, typeOnly: boolean, index: number): void => {
    if (specifier !== undefined) found.push({ specifier, typeOnly, line: lineAt(source, index) })
  }
  for (const match of source.matchAll(STATIC_IMPORT)) {
    add(match[3], match[1] !== undefined || onlyTypeNames(match[2] ?? ''), match.index)
  }
  for (const match of source.matchAll(BARE_IMPORT)) add(match[1], false, match.index)
  for (const match of source.matchAll(DYNAMIC_IMPORT)) {
    add(match[1], match[2] !== undefined, match.index)
  }
  for (const match of source.matchAll(WORKER_URL)) add(match[1], false, match.index)
  return found
}

/** `{ type A, type B }` leaves nothing at run time; `{ type A, b }` and `A` do. */
function onlyTypeNames(clause: string): boolean {
  const names = /^\s*\{([^}]*)\}\s*$/.exec(clause)?.[1]
  if (names === undefined) return false
  const parts = names.split(',').filter((part) => part.trim() !== '')
  return parts.length > 0 && parts.every((part) => /^\s*type\s/.test(part))
}

type PieceKind = 'comment' | 'text'

/** One piece that is not code: a comment, a string, a template's text, a regular expression. */
const PIECE =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`|\/(?![*/])(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\//g

/** After one of these a slash starts a regular expression; after anything else it divides. */
const BEFORE_REGULAR_EXPRESSION = /(?:^|[=(,:;!&|?{}[+\-*<>~^%]|\breturn|\btypeof|\bcase)\s*$/

function blank(text: string, wanted: (kind: PieceKind) => boolean): string {
  let out = ''
  let position = 0
  PIECE.lastIndex = 0
  for (;;) {
    const match = PIECE.exec(text)
    if (match === null) return out + text.slice(position)
    const piece = match[0]
    const comment = piece.startsWith('//') || piece.startsWith('/*')
    const division = !comment && piece.startsWith('/')
    if (
      division &&
      !BEFORE_REGULAR_EXPRESSION.test((out + text.slice(position, match.index)).slice(-80))
    ) {
      PIECE.lastIndex = match.index + 1
      continue
    }
    out += text.slice(position, match.index)
    out += wanted(comment ? 'comment' : 'text') ? blankPiece(piece, comment) : piece
    position = match.index + piece.length
  }
}

function blankPiece(piece: string, comment: boolean): string {
  const spaces = (part: string): string => part.replace(/[^\n]/g, ' ')
  if (comment) return spaces(piece)
  if (!piece.startsWith('`')) {
    return (piece[0] ?? '') + spaces(piece.slice(1, -1)) + (piece.at(-1) ?? '')
  }
  // What a template computes is code and stays.
  const inside = piece.slice(1, -1).split(/(\$\{[^}]*\})/)
  return `\`${inside.map((part) => (part.startsWith('${') ? part : spaces(part))).join('')}\``
}
