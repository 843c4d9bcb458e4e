// Runs once in the line below the upload: says at once that a file is too large, before it is sent.
const line = element.querySelector("p"), usual = line.textContent;
const megabytes = size => (size / 1048576).toFixed(1);

function check(event) {
  const files = event.target.files || event.dataTransfer?.files || event.clipboardData?.files;
  if (!files?.length) return;
  const large = [...files].find(file => file.size > props.limit);
  line.textContent = large
    ? `Not sent: ${large.name} has ${megabytes(large.size)} MB, ${megabytes(props.limit)} MB are accepted: make the image smaller, or save it as JPEG.`
    : usual;
  line.classList.toggle("refused", Boolean(large));
  if (!large) return;
  event.stopImmediatePropagation();
  event.preventDefault();
  if (event.target.files) event.target.value = "";
}

for (const kind of ["change", "drop", "paste"]) document.addEventListener(kind, check, true);
