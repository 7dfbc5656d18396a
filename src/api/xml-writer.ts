/** XML 1.0 text, for the answers of every AWS service. */

/** Characters that XML 1.0 cannot carry, not even escaped: most control characters, lone surrogates, U+FFFE, U+FFFF. */
const illegal =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must be found
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** Whether an answer can carry the text as it is. */
export function isXmlText(text: string): boolean {
  illegal.lastIndex = 0
  return !illegal.test(text)
}

const special = /[&<>"'\r]/g

// A carriage return is escaped because parsers turn a bare one into a line feed.
const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  '\r': '&#13;',
}

/** Text as it may stand inside an element or attribute; what XML cannot carry becomes U+FFFD. */
export function escapeXml(text: string): string {
  return text.replace(illegal, '\ufffd').replace(special, (character) => escapes[character]!)
}

/** An element around markup that is already XML; without any, an empty element. */
export function element(name: string, ...content: readonly string[]): string {
  const inner = content.join('')
  return inner === '' ? `<${name}/>` : `<${name}>${inner}</${name}>`
}

/** An element that holds text. */
export function textElement(name: string, text: string): string {
  return element(name, escapeXml(text))
}

export const xmlDeclaration = '<?xml version="1.0" encoding="UTF-8"?>\n'
