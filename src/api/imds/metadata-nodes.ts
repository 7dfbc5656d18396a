/** The tree that metadata is read from: texts, and directories that list their children's names. */

/** A text, or one that is made only when somebody reads it; or named children in the order in which a listing shows them. */
export type MetadataNode = string | Buffer | (() => Promise<string>) | MetadataDirectory
export interface MetadataDirectory {
  children: ReadonlyMap<string, MetadataNode>
  /** What a listing shows for a child, where it is not the name (with a slash, for a directory). */
  label?: (name: string) => string
}

/** A directory of what is there: null stands for what this instance does not have. */
export function directory(children: Readonly<Record<string, MetadataNode | null>>): MetadataDirectory {
  return {
    children: new Map(Object.entries(children).filter((entry): entry is [string, MetadataNode] => entry[1] !== null)),
  }
}

/** Lists its directories without a slash, as the first level of a version does. */
export function withPlainNames(node: MetadataDirectory): MetadataDirectory {
  return { ...node, label: (name) => name }
}

/** Follows names from a directory; undefined when nothing is there. */
export function lookUp(root: MetadataDirectory, names: readonly string[]): MetadataNode | undefined {
  let node: MetadataNode | undefined = root
  for (const name of names) {
    if (node === undefined || !isDirectory(node)) return undefined
    node = node.children.get(name)
  }
  return node
}

/** What a client sees of a node: a text as it is; a directory as names, one a line, directories with a slash. */
export async function render(node: MetadataNode): Promise<string | Buffer> {
  if (typeof node === 'function') return node()
  if (!isDirectory(node)) return node
  const { label } = node
  const line = (name: string, child: MetadataNode) => label?.(name) ?? (isDirectory(child) ? `${name}/` : name)
  return [...node.children].map(([name, child]) => line(name, child)).join('\n')
}

export function isDirectory(node: MetadataNode): node is MetadataDirectory {
  return typeof node === 'object' && 'children' in node
}
